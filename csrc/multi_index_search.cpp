#include <algorithm>

#include "multi_index_probe.hpp"
#include "multi_index_select.hpp"

namespace kinbits::mih {
namespace {

// The search of one query. It probes the cheapest next shell of all tables, until the complete radius reaches the
// distance of the k-th row. When every table t is searched up to distance d_t, each code not found yet differs by at
// least d_t + 1 bits in every substring: all codes within sum(d_t + 1) - 1 bits are found.
class Search {
public:
    Search(const MultiIndex& index, const std::uint8_t* query, double budget, GroupSelector& selector)
        : index_(index),
          query_(index.query(query)),
          budget_(budget),
          selector_(selector),
          searched_(index.tables.size(), -1),
          next_cost_(index.tables.size()) {
        for (std::size_t table = 0; table < next_cost_.size(); ++table)
            next_cost_[table] = shell_cost(index, index.tables[table], 0);
    }

    // Calls step(radius) when a radius is complete. Returns false if the budget ends before the search.
    template <class Step>
    bool probe_shells(Step step) {
        int radius = -1;
        while (radius < static_cast<int>(selector_.bound())) {
            const auto table =
                static_cast<std::size_t>(std::min_element(next_cost_.begin(), next_cost_.end()) - next_cost_.begin());
            if (spent() + next_cost_[table] > budget_ || !probe_shell(table)) return false;
            const Table& probed = index_.tables[table];
            const auto next = static_cast<unsigned>(++searched_[table] + 1);
            step(++radius);
            if (next > probed.bits) return true;  // all codes are found
            next_cost_[table] = shell_cost(index_, probed, next);
        }
        return true;
    }

    void scan() {
        selector_.restart();
        work_.entries += index_.groups;
        const TableReader reader(index_, index_.tables[0]);
        Probe all{reader.compared_bits(query_), 0, 0, {0, static_cast<std::uint32_t>(index_.groups)}};
        reader.each_within(
            &all, 1, 0, [&](const Probe&) { return query_; }, [&] { return selector_.bound(); },
            [&](const Probe&, const CodeRef& code, std::uint32_t group) {
                selector_.add(index_.distance(query_, code), group, code.key);
            });
    }

    const Work& work() const { return work_; }

private:
    double spent() const {
        return static_cast<double>(work_.probes) * Cost::probe + static_cast<double>(work_.entries) * Cost::entry;
    }

    // Searches the next shell of a table. Returns false if its entries exceed the budget.
    bool probe_shell(std::size_t number) {
        const TableReader reader(index_, index_.tables[number]);
        const std::uint32_t substring = index_.substring(query_, reader.table());
        const std::uint64_t query_bits = reader.compared_bits(query_);
        const auto flipped = static_cast<unsigned>(searched_[number] + 1);
        Masks masks(reader.table().bits, flipped);
        const auto next = [&](Probe& probe) {
            std::uint32_t mask;
            if (!masks.next(mask)) return false;
            probe.query_bits = query_bits;
            probe.substring = substring ^ mask;
            return true;
        };
        const double probes = static_cast<double>(work_.probes) + binomial(reader.table().bits, flipped);
        const auto max_entries =
            static_cast<std::uint64_t>(std::clamp((budget_ - probes * Cost::probe) / Cost::entry, 0.0, 1e18));
        bool affordable = true;
        each_block(reader, next, [&](Probe* probes, std::size_t count) {
            work_.probes += count;
            for (std::size_t i = 0; i < count; ++i) work_.entries += probes[i].range.end - probes[i].range.begin;
            if (work_.entries > max_entries) return affordable = false;
            reader.each_within(
                probes, count, flipped, [&](const Probe&) { return query_; }, [&] { return selector_.bound(); },
                [&](const Probe&, const CodeRef& code, std::uint32_t group) { offer(number, code, group); });
            return true;
        });
        return affordable;
    }

    void offer(std::size_t table, const CodeRef& code, std::uint32_t group) {
        const unsigned distance = index_.distance(query_, code);
        if (distance <= selector_.bound() && is_new(index_, query_, code, table, searched_.data()))
            selector_.add(distance, group, code.key);
    }

    const MultiIndex& index_;
    const CodeRef query_;
    const double budget_;
    GroupSelector& selector_;
    Work work_;
    std::vector<int> searched_;
    std::vector<double> next_cost_;
};

}  // namespace

Work search(const MultiIndex& index, const std::uint8_t* query, const SearchLimits& limits, double budget,
            Neighbours& found) {
    GroupSelector selector(index, limits);
    Search search(index, query, budget, selector);
    if (limits.limit > 0 && index.groups > 0 && !search.probe_shells([](int) {})) search.scan();
    selector.finish(found);
    return search.work();
}

void trace(const MultiIndex& index, const std::uint8_t* query, std::uint32_t excluded, const SearchLimits& limits,
           double budget, std::int64_t* steps, std::size_t radii) {
    std::fill(steps, steps + 3 * radii, -1);
    GroupSelector selector(index, limits);
    selector.exclude(excluded);
    Search search(index, query, budget, selector);
    search.probe_shells([&](int radius) {
        if (static_cast<std::size_t>(radius) >= radii) return;
        std::int64_t* step = steps + 3 * radius;
        step[0] = static_cast<std::int64_t>(selector.within(static_cast<unsigned>(radius)));
        step[1] = static_cast<std::int64_t>(search.work().probes);
        step[2] = static_cast<std::int64_t>(search.work().entries);
    });
}

}  // namespace kinbits::mih
