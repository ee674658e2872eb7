// Scans parts of the rows in several threads, and joins what they select.
#pragma once

#include <cstddef>
#include <vector>

#include "parallel.hpp"

namespace kinbits {

// Calls make() for the scan of each range, runs it on its range in a thread of its own, and then calls take(selector)
// for each query, with the rows that all scans selected. make() returns a pointer that owns the scan.
template <class Make, class Take>
void scan_ranges(const Ranges& ranges, Make make, Take take) {
    std::vector<decltype(make())> scans;
    for (std::size_t i = 0; i < ranges.count(); ++i) scans.push_back(make());
    in_parallel(ranges.count(), [&](std::size_t i) { scans[i]->run(ranges.first(i), ranges.first(i + 1)); });
    for (std::size_t query = 0; query < scans[0]->selectors.size(); ++query) {
        auto& selector = scans[0]->selectors[query];
        for (std::size_t i = 1; i < scans.size(); ++i) selector.append(scans[i]->selectors[query]);
        take(selector);
    }
}

}  // namespace kinbits
