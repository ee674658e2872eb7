#include "mapped_file.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <mutex>

namespace kinbits {
namespace {

struct Slot {
    std::atomic<std::uintptr_t> first{0}, last{0};  // an empty slot holds no address
};

// Fixed, since the handler may neither lock nor allocate. Maps beyond are read without this protection.
constexpr std::size_t most_maps = 1 << 15;
std::array<Slot, most_maps> slots;
std::atomic<std::size_t> used{0};  // slots that were ever taken
std::atomic<std::uint64_t> lost{0};
std::mutex changing;
struct sigaction earlier{};

// Puts pages of zeros where the file has none. True if the address lies in one of our maps.
bool replace_lost(std::uintptr_t address) {
    const auto page = address - address % static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    for (std::size_t number = 0; number < used.load(); ++number) {
        const auto first = slots[number].first.load(), last = slots[number].last.load();
        if (address < first || address >= last) continue;
        ++lost;
        return mmap(reinterpret_cast<void*>(page), last - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                    0) != MAP_FAILED;
    }
    return false;
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
    if (replace_lost(reinterpret_cast<std::uintptr_t>(info->si_addr))) return;
    if (earlier.sa_flags & SA_SIGINFO) {
        earlier.sa_sigaction(signal, info, context);
    } else if (earlier.sa_handler != SIG_DFL && earlier.sa_handler != SIG_IGN) {
        earlier.sa_handler(signal);
    } else {
        sigaction(SIGBUS, &earlier, nullptr);  // the same read happens again, and ends the process as it always did
    }
}

void install_handler() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction ours{};
        ours.sa_sigaction = on_bus_error;
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigemptyset(&ours.sa_mask);
        sigaction(SIGBUS, &ours, &earlier);
    });
}

std::size_t take_slot(std::uintptr_t first, std::size_t bytes) {
    const std::lock_guard guard(changing);
    for (std::size_t number = 0; number < most_maps; ++number) {
        if (slots[number].last.load()) continue;
        slots[number].first = first;
        slots[number].last = first + bytes;
        if (number >= used.load()) used = number + 1;
        return number;
    }
    return most_maps;
}

void free_slot(std::size_t number) {
    if (number == most_maps) return;
    const std::lock_guard guard(changing);
    slots[number].last = 0;
    slots[number].first = 0;
}

}  // namespace

MappedFile::MappedFile(int descriptor, std::size_t bytes) : bytes_(bytes), slot_(most_maps) {
    install_handler();
    void* const memory = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
    if (memory == MAP_FAILED) return;
    data_ = static_cast<std::uint8_t*>(memory);
    slot_ = take_slot(reinterpret_cast<std::uintptr_t>(memory), bytes);
}

MappedFile::~MappedFile() {
    free_slot(slot_);
    if (data_) munmap(data_, bytes_);
}

std::uint64_t lost_pages() { return lost.load(); }

}  // namespace kinbits
