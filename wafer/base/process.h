#pragma once
#include <cstdint>

namespace wafer {

// Seconds since this process was started, as the system counts them (steps of 10 ms).
double seconds_since_process_start();

// Largest resident memory of this process so far, or since the last reset, in bytes; 0 where the
// system does not tell.
int64_t peak_resident_bytes();

// Makes the peak count from here; does nothing where the system does not allow it.
void reset_peak_resident_bytes();

// Resident memory of this process now, in bytes; 0 where the system does not tell.
int64_t resident_bytes();

}  // namespace wafer
