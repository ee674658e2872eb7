#include "mapped_file.hpp"

#include <unistd.h>

#include <cstdio>

#include "parallel.hpp"
#include "selftest.hpp"

namespace selftest {
namespace {

const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));

std::size_t count_sevens(const kinbits::MappedFile& map) {
    return static_cast<std::size_t>(std::count(map.data(), map.data() + map.bytes(), std::uint8_t{7}));
}

// Maps a file of `pages` pages, truncates it to one page, and reads it.
void check_truncated(std::size_t pages) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), std::fclose);
    require(file != nullptr, "no temporary file");
    const std::vector<std::uint8_t> bytes(pages * page, 7);
    require(std::fwrite(bytes.data(), 1, bytes.size(), file.get()) == bytes.size(), "writing a temporary file");
    require(std::fflush(file.get()) == 0, "flushing a temporary file");
    const kinbits::MappedFile map(fileno(file.get()), bytes.size());
    require(map.data() && count_sevens(map) == bytes.size(), "a whole map");
    const std::uint64_t before = kinbits::lost_pages();
    require(ftruncate(fileno(file.get()), static_cast<off_t>(page)) == 0, "truncating a temporary file");
    require(count_sevens(map) == page, "a truncated map has zeros after its end");
    require(kinbits::lost_pages() > before, "reads of lost pages are counted");
}

}  // namespace

void check_mapped_file() {
    require(!kinbits::MappedFile(-1, page).data(), "an invalid descriptor");
    kinbits::each_task(4, 40, [](std::size_t task) { check_truncated(2 + task % 5); });
}

}  // namespace selftest
