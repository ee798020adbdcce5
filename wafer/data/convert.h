#pragma once
#include <cstddef>
#include <cstdint>

#include "wafer/data/description.h"

// Stored inputs to what a model gets. These run in the loader's thread for every example.
namespace wafer::data {

// One input: u8 images and f32 numbers to normalised f32, u8 or u16 tokens to i64.
void convert_input(const Description& description, const Normalise& normalise,
                   const std::byte* stored, std::byte* output);

// The same window one token later, as i64; `stored` holds one token more than the shape says.
void convert_next_tokens(const Description& description, const std::byte* stored,
                         std::byte* output);

// output[i] = pixels[i] * scale + shift.
void scale_pixels(const uint8_t* pixels, size_t count, float scale, float shift, float* output);

// Adds the sum of the pixels, and of their squares.
void sum_pixels(const uint8_t* pixels, size_t count, uint64_t& sum, uint64_t& squares);

}  // namespace wafer::data
