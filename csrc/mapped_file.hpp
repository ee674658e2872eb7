// Read-only maps of files that another program may cut short while they are read.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kinbits {

// Reading a mapped page that its file has lost raises SIGBUS, which ends the process. Here such a read gives zeros
// instead, and is counted: whoever reads compares `lost_pages` before and after, and refuses what it has read.
class MappedFile {
public:
    // Maps the first `bytes` (at least 1) of an open file; it may be closed afterwards. Errors: `data()` is null, and
    // errno says why.
    MappedFile(int descriptor, std::size_t bytes);
    ~MappedFile();
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    const std::uint8_t* data() const { return data_; }
    std::size_t bytes() const { return bytes_; }

private:
    std::uint8_t* data_ = nullptr;
    std::size_t bytes_;
    std::size_t slot_;
};

// How many reads of this process have hit a page that its file had lost.
std::uint64_t lost_pages();

}  // namespace kinbits
