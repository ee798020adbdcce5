// Damaged input of every format is read or refused with a UserError that names the file; nothing
// else may happen. The sanitizer build runs the same inputs.
#include <functional>

#include "tests/io/helpers.h"
#include "wafer/base/philox.h"
#include "wafer/io/archive.h"
#include "wafer/io/csv.h"
#include "wafer/io/idx.h"
#include "wafer/io/image.h"
#include "wafer/io/npy.h"
#include "wafer/io/safetensors.h"
#include "wafer/io/wav.h"

namespace wafer::io {
namespace {

using wafer::testing::append_big32;
using wafer::testing::append_little;
using wafer::testing::to_bytes;

struct Format {
  std::string name;
  Bytes good;
  std::function<void(ByteView)> read;
};

Bytes concat(std::initializer_list<Bytes> parts) {
  Bytes whole;
  for (const Bytes& part : parts) wafer::testing::append(whole, part);
  return whole;
}

std::vector<Format> formats() {
  std::vector<Format> result;
  std::string header =
      R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})";
  Bytes safetensors;
  append_little<uint64_t>(safetensors, header.size());
  result.push_back({"f.safetensors", concat({safetensors, to_bytes(header), Bytes(16, 7)}),
                    [](ByteView bytes) { parse_safetensors(bytes, "f.safetensors"); }});
  std::string dict = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }\n";
  Bytes npy = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, static_cast<uint8_t>(dict.size()), 0};
  result.push_back({"f.npy", concat({npy, to_bytes(dict), Bytes(16, 7)}),
                    [](ByteView bytes) { parse_npy(bytes, "f.npy"); }});
  Bytes idx;
  append_big32(idx, 2050);
  append_big32(idx, 3);
  append_big32(idx, 4);
  result.push_back(
      {"f.idx", concat({idx, Bytes(12, 7)}), [](ByteView bytes) { parse_idx(bytes, "f.idx"); }});
  result.push_back(
      {"f.csv", to_bytes("a,b,\"c d\"\n1,x,2.5\n3,\"y, z\",-4e2\n"), [](ByteView bytes) {
         parse_csv({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "f.csv");
       }});
  Image image{9, 7, 3, Bytes(9 * 7 * 3, 90)};
  for (size_t i = 0; i < image.pixels.size(); i += 5) image.pixels[i] = static_cast<uint8_t>(i);
  auto decode = [](ByteView bytes) { decode_image(bytes, "f.image"); };
  result.push_back({"f.image", encode_png(image), decode});
  result.push_back({"f.image", encode_jpeg(image), decode});
  result.push_back({"f.image", concat({to_bytes("P6 9 7 255\n"), image.pixels}), decode});
  Bytes wav =
      concat({to_bytes("RIFF"), Bytes{52, 0, 0, 0}, to_bytes("WAVEfmt "),
              Bytes{16, 0, 0, 0, 1, 0, 1, 0}, Bytes{64, 31, 0, 0, 128, 62, 0, 0, 2, 0, 16, 0},
              to_bytes("data"), Bytes{16, 0, 0, 0}, Bytes(16, 7)});
  result.push_back({"f.wav", wav, [](ByteView bytes) { parse_wav(bytes, "f.wav"); }});
  wafer::testing::Files files = {{"one", Bytes(700, 1)}, {"two", Bytes(20, 2)}};
  auto unpack = [](ByteView bytes) {
    for_each_entry(bytes, "f.archive", [](const std::string&, Bytes) {}, {},
                   {.entry_bytes = 1 << 20});
  };
  result.push_back({"f.archive", wafer::testing::tar(files), unpack});
  result.push_back({"f.archive", wafer::testing::zip(files), unpack});
  result.push_back({"f.gz", wafer::testing::gzip(Bytes(50, 3)),
                    [](ByteView bytes) { gunzip(bytes, "f.gz", 1 << 20); }});
  return result;
}

Bytes mutate(const Bytes& good, RandomStream& random) {
  Bytes bytes = good;
  auto place = [&] {
    return static_cast<ptrdiff_t>(random.below(static_cast<uint32_t>(bytes.size())));
  };
  for (uint32_t changes = 1 + random.below(4); changes > 0 && bytes.size() > 1; --changes) {
    switch (random.below(5)) {
      case 0:
        bytes[static_cast<size_t>(place())] ^= static_cast<uint8_t>(1 << random.below(8));
        break;
      case 1: bytes[static_cast<size_t>(place())] = static_cast<uint8_t>(random.next()); break;
      case 2: bytes.resize(static_cast<size_t>(place()) + 1); break;
      case 3:
        bytes.insert(bytes.begin() + place(), random.below(9), static_cast<uint8_t>(random.next()));
        break;
      default: {
        ptrdiff_t begin = place(), end = std::min<ptrdiff_t>(begin + random.below(9),
                                                             static_cast<ptrdiff_t>(bytes.size()));
        bytes.erase(bytes.begin() + begin, bytes.begin() + end);
      }
    }
  }
  return bytes;
}

TEST(Fuzz, DamagedInputIsReadOrRefused) {
  uint64_t stream = 0;
  for (const Format& format : formats()) {
    EXPECT_NO_THROW(format.read(format.good)) << format.name;
    RandomStream random(1, stream++);
    int refused = 0;
    for (int round = 0; round < 3000; ++round) {
      Bytes bytes = mutate(format.good, random);
      try {
        format.read(bytes);
      } catch (const UserError& error) {
        ++refused;
        ASSERT_NE(std::string(error.what()).find(format.name), std::string::npos) << error.what();
      }
    }
    EXPECT_GT(refused, 100) << format.name << " stream " << stream;
  }
}

}  // namespace
}  // namespace wafer::io
