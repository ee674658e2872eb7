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

// A fixed number, because the handler may neither lock nor allocate. Further maps are not protected.
constexpr std::size_t max_maps = 1 << 15;
std::array<Slot, max_maps> slots;
std::atomic<std::size_t> used_slots{0};  // the number of slots ever claimed
std::atomic<std::uint64_t> lost{0};
std::mutex slots_mutex;
struct sigaction previous_handler{};

// Maps zeros over the lost pages from `address` on. Returns false if the address is in none of our maps.
bool replace_lost(std::uintptr_t address) {
    const auto page = address - address % static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    for (std::size_t number = 0; number < used_slots.load(); ++number) {
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
    if (previous_handler.sa_flags & SA_SIGINFO) {
        previous_handler.sa_sigaction(signal, info, context);
    } else if (previous_handler.sa_handler != SIG_DFL && previous_handler.sa_handler != SIG_IGN) {
        previous_handler.sa_handler(signal);
    } else {
        sigaction(SIGBUS, &previous_handler, nullptr);  // the read is repeated, and ends the process as without us
    }
}

void install_handler() {
    static std::once_flag once;
    std::call_once(once, [] {
        struct sigaction ours{};
        ours.sa_sigaction = on_bus_error;
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigemptyset(&ours.sa_mask);
        sigaction(SIGBUS, &ours, &previous_handler);
    });
}

std::size_t claim_slot(std::uintptr_t first, std::size_t bytes) {
    const std::lock_guard guard(slots_mutex);
    for (std::size_t number = 0; number < max_maps; ++number) {
        if (slots[number].last.load()) continue;
        slots[number].first = first;
        slots[number].last = first + bytes;
        if (number >= used_slots.load()) used_slots = number + 1;
        return number;
    }
    return max_maps;
}

void free_slot(std::size_t number) {
    if (number == max_maps) return;
    const std::lock_guard guard(slots_mutex);
    slots[number].last = 0;
    slots[number].first = 0;
}

}  // namespace

MappedFile::MappedFile(int descriptor, std::size_t bytes) : bytes_(bytes), slot_(max_maps) {
    install_handler();
    void* const memory = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
    if (memory == MAP_FAILED) return;
    data_ = static_cast<std::uint8_t*>(memory);
    slot_ = claim_slot(reinterpret_cast<std::uintptr_t>(memory), bytes);
}

MappedFile::~MappedFile() {
    free_slot(slot_);
    if (data_) munmap(data_, bytes_);
}

std::uint64_t lost_pages() { return lost.load(); }

}  // namespace kinbits
