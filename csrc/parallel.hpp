// Runs work in several threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

namespace kinbits {

constexpr std::size_t max_threads = 256;

// Runs work(0) ... work(count - 1), each in a thread of its own. Rethrows the first exception.
template <class Work>
void in_parallel(std::size_t count, Work work) {
    std::vector<std::exception_ptr> errors(count);
    const auto guarded = [&](std::size_t number) noexcept {
        try {
            work(number);
        } catch (...) {
            errors[number] = std::current_exception();
        }
    };
    std::vector<std::thread> threads;
    threads.reserve(count);
    for (std::size_t number = 1; number < count; ++number) {
        try {
            threads.emplace_back(guarded, number);
        } catch (...) {  // the system allows no more threads
            guarded(number);
        }
    }
    if (count) guarded(0);
    for (auto& thread : threads) thread.join();
    for (const auto& error : errors)
        if (error) std::rethrow_exception(error);
}

// Calls work(task) for every task in [0, tasks); each thread takes the next task.
template <class Work>
void each_task(std::size_t threads, std::size_t tasks, Work work) {
    std::atomic<std::size_t> next{0};
    in_parallel(std::max<std::size_t>(1, std::min({threads, tasks, max_threads})), [&](std::size_t) {
        for (std::size_t task = next++; task < tasks; task = next++) work(task);
    });
}

// Splits [0, size) into about equal parts that begin at multiples of `step`. There is at least one part, maybe empty.
class Ranges {
public:
    Ranges(std::size_t size, std::size_t parts, std::size_t step)
        : size_(size), part_(round_up(std::max<std::size_t>(1, (size + parts - 1) / parts), step)) {}

    std::size_t count() const { return std::max<std::size_t>(1, (size_ + part_ - 1) / part_); }
    std::size_t first(std::size_t number) const { return std::min(size_, number * part_); }

private:
    static std::size_t round_up(std::size_t value, std::size_t step) { return (value + step - 1) / step * step; }

    std::size_t size_, part_;
};

}  // namespace kinbits
