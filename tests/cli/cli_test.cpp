#include <csignal>
#include <fstream>
#include <sstream>

#include "tests/cli/program.h"
#include "tests/text.h"
#include "wafer/io/image.h"

namespace wafer {
namespace {
namespace fs = std::filesystem;
using testing::Program;
using testing::Ran;
using testing::run_wafer;
using testing::small_table;
using testing::TemporaryFolder;
using testing::write_text;
using tests::contains;

// The commands that `wafer --help` lists.
std::vector<std::string> commands(const fs::path& folder) {
  std::istringstream help(run_wafer(folder, {"--help"}).out);
  std::vector<std::string> names;
  bool listed = false;
  for (std::string line; std::getline(help, line);) {
    if (contains(line, "ubcommands:") || contains(line, "SUBCOMMANDS:")) {
      listed = true;
    } else if (listed && line.starts_with("  ") && line.size() > 2 && line[2] != ' ') {
      names.push_back(line.substr(2, line.find(' ', 2) - 2));
    }
  }
  return names;
}

TEST(Cli, EveryCommandsHelpHasAnExample) {
  TemporaryFolder folder;
  auto names = commands(folder.path());
  for (const char* needed : {"check", "train", "infer", "eval", "data"}) {
    EXPECT_NE(std::find(names.begin(), names.end(), needed), names.end()) << needed;
  }
  for (const std::string& name : names) {
    Ran ran = run_wafer(folder.path(), {name, "--help"});
    EXPECT_EQ(ran.code, 0) << name;
    EXPECT_TRUE(contains(ran.out, "Example:\n  wafer " + name)) << ran.out;
    EXPECT_TRUE(contains(ran.out, "--json")) << name;
  }
}

TEST(Cli, UnknownWordsAreExitCode2AndGetASuggestion) {
  TemporaryFolder folder;
  struct Case {
    std::vector<std::string> arguments;
    std::vector<std::string> parts;
  };
  for (const Case& c : std::vector<Case>{
           {{"trian"}, {"command 'trian'", "did you mean 'train'"}},
           {{"train", "cnn", "--epoch", "3"},
            {"[wafer train]", "'--epoch'", "did you mean '--epochs'"}},
           {{"train", "cnm", "--data", "shapes"}, {"'cnm'", "did you mean 'cnn'"}},
           {{"train", "cnn", "--data", "shapes", "-o", "hiden=3"},
            {"'hiden'", "did you mean 'hidden'"}},
           {{"train", "cnn", "--data", "cifar11"}, {"'cifar11'", "did you mean 'cifar10'"}},
           {{"train", "cnn", "--device", "cup"}, {"'cup'", "did you mean 'cpu'"}},
           {{"train", "cnn", "--device", "cuda"}, {"cuda", "is absent", "wafer devices"}},
           {{"train", "cnn", "--data", "shapes", "--optimizer", "adma"},
            {"'adma'", "did you mean 'adam'"}},
           {{"train", "cnn", "--data", "shapes", "--schedule", "cosin"},
            {"'cosin'", "did you mean 'cosine'"}},
           {{"train", "cnn", "--data", "shapes", "--epochs", "0"}, {"[epochs]", "positive"}},
           {{"train", "cnn", "--data", "shapes", "--batch-size", "-4"}, {"[batch size]", "-4"}},
           {{"train", "cnn", "--epochs", "many"}, {"many"}},
           {{"train", "--resume", "--run", "nowhere"}, {"nowhere", "no run"}},
           {{"eval", "nowhere"}, {"nowhere"}},
           {{"infer", "nowhere.safetensors", "x.png"}, {"nowhere.safetensors"}},
           {{"data", "mnits"}, {"'mnits'", "did you mean 'mnist'"}},
           {{}, {"subcommand"}}}) {
    Ran ran = run_wafer(folder.path(), c.arguments);
    EXPECT_EQ(ran.code, 2) << ran.err;
    for (const std::string& part : c.parts)
      EXPECT_TRUE(contains(ran.err, part)) << part << " in: " << ran.err;
  }
  EXPECT_FALSE(fs::exists(folder / "runs")) << "a run that never began leaves no folder";
}

TEST(Cli, ValuesOutOfRangeAreExitCode2AndNameTheOption) {
  TemporaryFolder folder;
  struct Case {
    std::string command, option, value, expected;
  };
  for (const Case& c :
       std::vector<Case>{{"infer", "--top", "0", "at least 1"},
                         {"infer", "--length", "-3", "at least 1"},
                         {"infer", "--temperature", "-0.5", "0 (always the most probable)"},
                         {"infer", "--temperature", "nan", "0 (always the most probable)"},
                         {"train", "--label-smoothing", "-0.1", "[0, 1)"},
                         {"train", "--label-smoothing", "1", "[0, 1)"},
                         {"train", "--mixup", "-1", "[0, 100]"},
                         {"train", "--crop", "-4", "0 or more"},
                         {"train", "--cutout", "-4", "0 or more"},
                         {"train", "--sequence-length", "0", "at least 1"},
                         {"train", "--momentum", "1", "[0, 1)"},
                         {"train", "--momentum", "nan", "[0, 1)"},
                         {"train", "--workers", "1025", "at most"}}) {
    Ran ran = run_wafer(folder.path(), {c.command, "cnn", c.option, c.value});
    EXPECT_EQ(ran.code, 2) << ran.err;
    for (const std::string& part :
         {"[" + c.option + "] out of range", "got " + c.value, c.expected})
      EXPECT_TRUE(contains(ran.err, part)) << part << " in: " << ran.err;
  }
  EXPECT_FALSE(fs::exists(folder / "runs")) << "a run that never began leaves no folder";
}

TEST(Cli, WordsThatAreNoValueAreExitCode2AndSayWhatIs) {
  TemporaryFolder folder;
  using Words = std::vector<std::string>;
  for (const auto& [words, parts] : std::vector<std::pair<Words, Words>>{
           {{"train", "cnn", "--epochs", "many"}, {"[--epochs] not a whole number", "'many'"}},
           {{"train", "cnn", "--epochs", "99999999999999999999999"},
            {"[--epochs]", "to 9223372036"}},
           {{"train", "cnn", "--seed", "-1"}, {"[--seed]", "from 0 to", "'-1'"}},
           {{"infer", "cnn", "--seed", "-1"}, {"[--seed]", "from 0 to", "'-1'"}},
           {{"train", "cnn", "--lr", "1e"}, {"[--lr] not a number", "'1e'"}},
           {{"check", "cnn", "--batch-size", "0"}, {"[--batch-size]", "got 0", "above 0"}},
           {{"bench", "cnn", "--seconds", "nan"}, {"[--seconds]", "got nan", "above 0"}},
           {{"train", "cnn", "--threads", "0"}, {"[--threads]", "got 0", "above 0"}},
           {{"train", "cnn", "--crop"}, {"[--crop]", "missing"}},
           {{"infer"}, {"[wafer infer] model is required", "`wafer infer --help`"}},
           {{"bench", "cnn", "--train", "--infer"}, {"[wafer bench]", "excludes"}}}) {
    Ran ran = run_wafer(folder.path(), words);
    EXPECT_EQ(ran.code, 2) << ran.err;
    for (const std::string& part : parts)
      EXPECT_TRUE(contains(ran.err, part)) << part << " in: " << ran.err;
    EXPECT_LT(ran.err.size(), 250u) << ran.err;
  }
  EXPECT_FALSE(fs::exists(folder / "runs")) << "a run that never began leaves no folder";
}

TEST(Cli, BenchLooksIntoOnePartOfABatchThatRunsInParts) {
  TemporaryFolder folder;
  Ran ran = run_wafer(folder.path(), {"bench", "mobilenet_v2", "--infer", "--input", "3x96x96",
                                      "--batch-size", "32", "--seconds", "0.01", "--profile"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_TRUE(contains(ran.out, "parts        4 of 8 examples")) << ran.out;
  EXPECT_TRUE(contains(ran.out, "One part:")) << ran.out;
  EXPECT_TRUE(contains(ran.out, "mobilenet_v2.features.2.conv.0.2")) << ran.out;
}

TEST(Cli, CheckPrintsLayers) {
  TemporaryFolder folder;
  Ran ran = run_wafer(folder.path(), {"check", "cnn", "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_TRUE(contains(ran.out, "64x8x8"));
  EXPECT_EQ(ran.json().at("parameters"),
            3 * 32 * 9 + 32 + 32 * 64 * 9 + 64 + 4096 * 512 + 512 + 5120 + 10);
}

TEST(Cli, ModelsListsSizesAndOptions) {
  TemporaryFolder folder;
  Ran ran = run_wafer(folder.path(), {"models", "resnet18", "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  for (const char* part : {"11,689,512 parameters", "3.6", "stem", "imagenet"})
    EXPECT_TRUE(contains(ran.out, part)) << part << " in: " << ran.out;
  EXPECT_EQ(ran.json().at("parameters"), 11689512);
  // Weights in f32, running means and variances, and 20 counters of batches.
  EXPECT_EQ(ran.json().at("weight_bytes"), 4 * (11689512 + 9600) + 20 * 8);
  EXPECT_GT(ran.json().at("run_bytes"), 64 * 112 * 112 * 4);
  ran = run_wafer(folder.path(), {"models", "resnet19"});
  EXPECT_EQ(ran.code, 2);
  EXPECT_TRUE(contains(ran.err, "did you mean 'resnet18'")) << ran.err;
}

const char* slip = R"(
name = "slip"
outputs = 10
[[layer]]
type = "conv2d"
name = "conv1"
out = 32
kernel = 3
padding = 1
[[layer]]
type = "relu"
[[layer]]
type = "max_pool2d"
kernel = 2
[[layer]]
type = "conv2d"
name = "conv2"
out = 64
kernel = 3
padding = 1
[[layer]]
type = "relu"
[[layer]]
type = "max_pool2d"
kernel = 2
[[layer]]
type = "flatten"
[[layer]]
type = "linear"
name = "fc1"
in = 3136
out = 512
[[layer]]
type = "relu"
[[layer]]
type = "linear"
name = "fc2"
)";

TEST(Cli, TheClassicSlip) {
  TemporaryFolder folder;
  write_text(folder / "slip.toml", slip);
  // What lies there as CIFAR-10 cannot be decoded: reading any of it would be another error.
  write_text(folder / "data" / "cifar10" / "images.tar", "not an archive");
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"check", "slip.toml", "--input", "3x32x32"},
                                             {"train", "slip.toml", "--data", "cifar10"},
                                             {"train", "slip.toml"}}) {
    Ran ran = run_wafer(folder.path(), arguments);
    EXPECT_EQ(ran.code, 2);
#ifndef WAFER_COVERAGE  // counting lines takes its time
    EXPECT_LT(ran.seconds, 1.0);
#endif
    for (const char* part :
         {"slip.fc1", "4096", "3136", "64x8x8", "slip.toml:", "Linear{4096, 512}"}) {
      EXPECT_TRUE(contains(ran.err, part)) << part << " in: " << ran.err;
    }
  }
  EXPECT_FALSE(fs::exists(folder / "runs"));
}

TEST(Cli, TrainEvalAndResume) {
  TemporaryFolder folder;
  write_text(folder / "table.csv", small_table(120));
  Ran train = run_wafer(
      folder.path(), {"train", "mlp", "--data", "table.csv", "--epochs", "3", "--batch-size", "16",
                      "--validation", "0.2", "--lr", "0.01", "--run", "run", "--json"});
  ASSERT_EQ(train.code, 0) << train.err;
  auto json = train.json();
  EXPECT_EQ(json.at("run"), "run");
  EXPECT_EQ(json.at("device"), "cpu");
  EXPECT_TRUE(json.at("precision") == "f32" || json.at("precision") == "bf16");
  EXPECT_EQ(json.at("epochs"), 3);
  EXPECT_EQ(json.at("epoch_seconds").size(), 3u);
  EXPECT_GT(json.at("step_ms").at("p50").get<double>(), 0);
  EXPECT_GE(json.at("step_ms").at("p90").get<double>(), json.at("step_ms").at("p50").get<double>());
  EXPECT_GT(json.at("samples_per_second").get<double>(), 0);
  EXPECT_GT(json.at("first_step_seconds").get<double>(), 0);
  EXPECT_GT(json.at("peak_memory_bytes").get<int64_t>(), 1 << 20);
  EXPECT_GT(json.at("planned_memory_bytes").get<int64_t>(), 0);
  EXPECT_GE(json.at("data_wait_percent").get<double>(), 0);
  for (const char* part : {"train", "validation", "test"}) {
    EXPECT_GT(json.at(part).at("loss").get<double>(), 0) << part;
    double accuracy = json.at(part).at("accuracy").get<double>();
    EXPECT_TRUE(accuracy > 0 && accuracy <= 1) << part;
  }
  for (const char* file :
       {"config.json", "metrics.csv", "model.safetensors", "report.html", "report.json"}) {
    EXPECT_TRUE(fs::exists(folder / "run" / file)) << file;
  }

  Ran alone = run_wafer(folder.path(), {"train", "mlp", "--data", "table.csv", "--epochs", "1",
                                        "--validation", "0", "--run", "alone", "--json"});
  ASSERT_EQ(alone.code, 0) << alone.err;
  EXPECT_TRUE(alone.json().at("validation").is_null());

  Ran again = run_wafer(folder.path(), {"train", "mlp", "--data", "table.csv", "--run", "run"});
  EXPECT_EQ(again.code, 2);
  EXPECT_TRUE(contains(again.err, "holds a run already") && contains(again.err, "--resume"))
      << again.err;

  Ran eval = run_wafer(folder.path(), {"eval", "run", "--json"});
  ASSERT_EQ(eval.code, 0) << eval.err;
  EXPECT_NEAR(eval.json().at("splits").at("test").at("accuracy").get<double>(),
              json.at("test").at("accuracy").get<double>(), 1e-12);

  Ran resumed = run_wafer(folder.path(), {"train", "--resume", "--run", "run", "--json"});
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(resumed.json().at("epochs"), 3);
  EXPECT_EQ(resumed.json().at("test"), json.at("test"));
}

TEST(Cli, InferPrintsTheTopClasses) {
  TemporaryFolder folder;
  for (int i = 0; i < 12; ++i) {
    for (const char* name : {"dark", "light", "grey"}) {
      auto base = static_cast<uint8_t>(name[0] == 'd' ? 20 : name[0] == 'l' ? 220 : 120);
      io::Image image{8, 8, 3, io::Bytes(192, static_cast<uint8_t>(base + i))};
      fs::path path = folder / "pictures" / name / (std::to_string(i) + ".png");
      fs::create_directories(path.parent_path());
      io::write_file_atomic(path, io::encode_png(image));
    }
  }
  Ran train = run_wafer(
      folder.path(), {"train", "mlp", "--data", "pictures", "--epochs", "30", "--batch-size", "8",
                      "--lr", "0.003", "--run", "run", "-o", "hidden=16"});
  ASSERT_EQ(train.code, 0) << train.err;
  Ran infer = run_wafer(folder.path(), {"infer", "run", "pictures/light", "pictures/dark/3.png",
                                        "--top", "2", "--json"});
  ASSERT_EQ(infer.code, 0) << infer.err;
  auto results = infer.json().at("results");
  ASSERT_EQ(results.size(), 13u);
  EXPECT_EQ(results[0].at("top").size(), 2u);
  EXPECT_EQ(results[0].at("top")[0].at("class"), "light");
  EXPECT_EQ(results[12].at("top")[0].at("class"), "dark");
  EXPECT_TRUE(contains(infer.out, "pictures/dark/3.png"));

  // What is no image is passed over in a folder, and refused where it is named; images are known by
  // their bytes too.
  write_text(folder / "pictures/light/notes.txt", "not a picture");
  fs::rename(folder / "pictures/light/0.png", folder / "pictures/light/first");
  infer = run_wafer(folder.path(), {"infer", "run", "pictures/light", "--json"});
  ASSERT_EQ(infer.code, 0) << infer.err;
  EXPECT_EQ(infer.json().at("results").size(), 12u);
  EXPECT_EQ(infer.json().at("skipped").size(), 1u);
  EXPECT_TRUE(contains(infer.err, "skipped pictures/light/notes.txt")) << infer.err;
  Ran named = run_wafer(folder.path(), {"infer", "run", "pictures/light/notes.txt"});
  EXPECT_EQ(named.code, 2);
  EXPECT_TRUE(contains(named.err, "notes.txt")) << named.err;
  write_text(folder / "pictures/light/cut.png", "\x89PNG");
  Ran damaged = run_wafer(folder.path(), {"infer", "run", "pictures/light"});
  EXPECT_EQ(damaged.code, 2);
  EXPECT_TRUE(contains(damaged.err, "cut.png")) << damaged.err;
  write_text(folder / "texts/notes.txt", "not a picture");
  Ran none = run_wafer(folder.path(), {"infer", "run", "texts"});
  EXPECT_EQ(none.code, 2);
  EXPECT_TRUE(contains(none.err, "holds no images") && contains(none.err, "notes.txt")) << none.err;
}

std::vector<std::string> endless(const std::string& run) {
  return {"train",
          "mlp",
          "--data",
          "table.csv",
          "--epochs",
          "100000",
          "--batch-size",
          "16",
          "--seed",
          "1",
          "--run",
          run,
          "--checkpoint-minutes",
          "0"};
}

TEST(Cli, ATextModelWritesOnFromThePrompt) {
  TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 300; ++i) text += "the cat sat on the mat. ";
  write_text(folder.path() / "cats.txt", text);
  Ran trained =
      run_wafer(folder.path(), {"train", "gru", "--data", "cats.txt", "--sequence-length", "16",
                                "--batch-size", "8", "--epochs", "1", "--run", "run"});
  ASSERT_EQ(trained.code, 0) << trained.err;
  Ran written =
      run_wafer(folder.path(), {"infer", "run", "--prompt", "the c", "--length", "20", "--json"});
  ASSERT_EQ(written.code, 0) << written.err;
  std::string result = written.json()["text"];
  EXPECT_EQ(result.size(), 25u) << result;
  EXPECT_TRUE(result.starts_with("the c")) << result;
  Ran refused = run_wafer(folder.path(), {"infer", "run", "the c"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_TRUE(contains(refused.err, "--prompt 'the c'")) << refused.err;
}

TEST(Cli, InterruptedOnceSavesAndSaysHowToGoOn) {
  TemporaryFolder folder;
  write_text(folder / "table.csv", small_table(120));
  Program program(folder.path(), endless("run"));
  ASSERT_TRUE(program.wait_for("epoch 1/")) << program.err();
  program.signal(SIGINT);
  Ran ran = program.wait();
  EXPECT_EQ(ran.code, 130) << ran.err;
  EXPECT_TRUE(contains(ran.err, "wafer train --resume --run run")) << ran.err;
  size_t checkpoints = 0;
  for (const auto& entry : fs::directory_iterator(folder / "run" / "checkpoints")) {
    EXPECT_TRUE(entry.path().filename().string().starts_with("step-")) << entry.path();
    ++checkpoints;
  }
  EXPECT_GE(checkpoints, 1u);
  Program resumed(folder.path(), {"train", "--resume", "--run", "run"});
  ASSERT_TRUE(resumed.wait_for("epoch ")) << resumed.err();
  resumed.signal(SIGINT);
  EXPECT_EQ(resumed.wait().code, 130);
}

// A handler's frame on the stack of a thread that computes would damage the heap: see cli/main.cpp.
TEST(Cli, NoThreadThatComputesTakesAnInterrupt) {
  TemporaryFolder folder;
  write_text(folder / "table.csv", small_table(120));
  Program program(folder.path(), endless("run"));
  ASSERT_TRUE(program.wait_for("epoch 1/")) << program.err();
  size_t threads = 0;
  std::vector<std::string> taking;
  for (const auto& task : fs::directory_iterator(str("/proc/", program.id(), "/task"))) {
    std::ifstream status(task.path() / "status");
    for (std::string line; std::getline(status, line);) {
      if (!line.starts_with("SigBlk:")) continue;
      uint64_t blocked = std::stoull(line.substr(7), nullptr, 16);
      auto takes = [&](int signal) { return (blocked >> (signal - 1) & 1u) == 0; };
      if (takes(SIGINT) || takes(SIGTERM)) taking.push_back(task.path().filename());
      ++threads;
    }
  }
  EXPECT_GE(threads, 3u) << "the main one, a worker or loader, and the one that waits for signals";
  EXPECT_LE(taking.size(), 1u);
  for (const std::string& thread : taking) EXPECT_NE(thread, std::to_string(program.id()));
  program.signal(SIGTERM);
  EXPECT_EQ(program.wait().code, 130);
}

TEST(Cli, OneProcessTrainsInAFolder) {
  TemporaryFolder folder;
  write_text(folder / "table.csv", small_table(120));
  Program first(folder.path(), endless("run"));
  ASSERT_TRUE(first.wait_for("epoch 1/")) << first.err();
  Ran second = run_wafer(folder.path(), {"train", "--resume", "--run", "run"});
  EXPECT_EQ(second.code, 2) << second.err;
  EXPECT_TRUE(contains(second.err, "[run] another process is working in this folder"))
      << second.err;
  first.signal(SIGINT);
  EXPECT_EQ(first.wait().code, 130);
}

TEST(Cli, InterruptedTwiceEndsAtOnce) {
  TemporaryFolder folder;
  write_text(folder / "table.csv", small_table(120));
  Program program(folder.path(), endless("run"));
  ASSERT_TRUE(program.wait_for("epoch 1/")) << program.err();
  program.signal(SIGINT);
  program.signal(SIGINT);
  auto asked = std::chrono::steady_clock::now();
  Ran ran = program.wait();
  // Both may arrive as one; a shell shows either end as 130.
  EXPECT_TRUE(ran.signal == SIGINT || ran.code == 130) << ran.code;
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - asked).count(), 5.0);
}

TEST(Cli, ResumeSaysWhatChangesAndRefusesWhatMayNot) {
  TemporaryFolder folder;
  write_text(folder / "table.csv", small_table(60));
  std::vector<std::string> train = {"train", "mlp",      "--data", "table.csv",    "--run",
                                    "r",     "--epochs", "1",      "--batch-size", "16"};
  ASSERT_EQ(run_wafer(folder.path(), train).code, 0);
  auto resume = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"train", "--resume", "--run", "r"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_wafer(folder.path(), arguments);
  };
  struct Case {
    std::vector<std::string> arguments, parts;
  };
  for (const Case& c : std::vector<Case>{
           {{"--lr", "0.1"}, {"[--lr]", "another value", "got 0.1", "expected 0.001"}},
           {{"--data", "shapes"}, {"[--data]", "shapes", "table.csv"}},
           {{"cnn"}, {"[model]", "cnn", "mlp"}},
           {{"-o", "hidden=3"}, {"[--option]", "hidden"}},
           {{"--flip"}, {"[--flip]"}}}) {
    Ran ran = resume(c.arguments);
    EXPECT_EQ(ran.code, 2) << ran.err;
    for (const std::string& part : c.parts)
      EXPECT_TRUE(contains(ran.err, part)) << part << " in: " << ran.err;
  }
  Ran same = resume({"mlp", "--lr", "1e-3", "--batch-size", "16"});
  EXPECT_EQ(same.code, 0) << same.err;
  Ran longer = resume({"--epochs", "3", "--json"});
  ASSERT_EQ(longer.code, 0) << longer.err;
  EXPECT_TRUE(contains(longer.err, "resuming with --epochs 3 in place of 1")) << longer.err;
  EXPECT_EQ(longer.json().at("epochs"), 3);
}

}  // namespace
}  // namespace wafer
