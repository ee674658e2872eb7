// Read-only maps of files that another program may truncate while they are read.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kinbits {

// A read of a mapped page that its file has lost raises SIGBUS, which ends the process. Here the read returns zeros
// instead, and is counted. Compare `lost_pages` before and after a read; if it has changed, the data is invalid.
class MappedFile {
public:
    // Maps the first `bytes` (at least 1) of an open file, which may be closed afterwards. On an error, `data()` is
    // null and errno is set.
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

// The number of reads of this process that have met a page that its file had lost.
std::uint64_t lost_pages();

}  // namespace kinbits
