#pragma once
#include <cstdint>
#include <span>

namespace wafer::onnx {

// What a file takes once it is read, told from its bytes before anything is allocated: a small file
// may hold far more nodes, names and numbers than its size suggests.
struct Footprint {
  int64_t nodes = 0, texts = 0, numbers = 0;
  // Bytes in memory beside the data of tensors that are as long there, rather more than less: while
  // the messages are turned into a ModelDef, and of that once it is walked.
  int64_t while_read = 0, kept = 0;
  int64_t raw = 0;  // bytes of the file that are raw data of tensors, or packed floats
};

// Of the bytes of a ModelProto. Ends where they are no message: reading them fails there too.
Footprint footprint(std::span<const uint8_t> model);

}  // namespace wafer::onnx
