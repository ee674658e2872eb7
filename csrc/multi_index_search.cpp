#include <algorithm>

#include "multi_index_probe.hpp"
#include "multi_index_select.hpp"

namespace kinbits::mih {
namespace {

// The search of one query: shell by shell, whichever table has the cheapest one next, until the radius that is complete
// reaches the distance of the k-th row. When every table t has been searched up to distance d_t, each code not met yet
// differs by at least d_t + 1 in every substring: all codes within sum(d_t + 1) - 1 have been met.
class Search {
public:
    Search(const MultiIndex& index, const std::uint8_t* query, const Limits& limits, Selection& selection)
        : index_(index),
          query_(index.query(query)),
          budget_(limits.budget),
          selection_(selection),
          done_(index.tables.size(), -1),
          next_cost_(index.tables.size()) {
        for (std::size_t table = 0; table < next_cost_.size(); ++table)
            next_cost_[table] = shell_cost(index, index.tables[table], 0);
    }

    // Calls step(radius) whenever a radius is complete; false if the budget ended before the search.
    template <class Step>
    bool grow(Step step) {
        int radius = -1;
        while (radius < static_cast<int>(selection_.bound())) {
            const auto table =
                static_cast<std::size_t>(std::min_element(next_cost_.begin(), next_cost_.end()) - next_cost_.begin());
            if (spent() + next_cost_[table] > budget_ || !shell(table)) return false;
            const Table& searched = index_.tables[table];
            const auto next = static_cast<unsigned>(++done_[table] + 1);
            step(++radius);
            if (next > searched.bits) return true;  // all codes have been met
            next_cost_[table] = shell_cost(index_, searched, next);
        }
        return true;
    }

    void scan() {
        selection_.restart();
        work_.entries += index_.groups;
        const Reader reader(index_, index_.tables[0]);
        Probe all{reader.own(query_), 0, 0, {0, static_cast<std::uint32_t>(index_.groups)}};
        reader.each_near(
            &all, 1, 0, [&](const Probe&) { return query_; }, [&] { return selection_.bound(); },
            [&](const Probe&, const Item& item, std::uint32_t group) {
                selection_.add(distance(index_, query_, item), group, item.key);
            });
    }

    const Work& work() const { return work_; }

private:
    double spent() const {
        return static_cast<double>(work_.probes) * Cost::probe + static_cast<double>(work_.entries) * Cost::entry;
    }

    // Looks into the next shell of a table; false if the entries there are more than the budget allows.
    bool shell(std::size_t number) {
        const Reader reader(index_, index_.tables[number]);
        const std::uint32_t own = index_.part(query_, reader.table());
        const std::uint64_t compared = reader.own(query_);
        const auto apart = static_cast<unsigned>(done_[number] + 1);
        Masks masks(reader.table().bits, apart);
        const auto next = [&](Probe& probe) {
            std::uint32_t mask;
            if (!masks.next(mask)) return false;
            probe.own = compared;
            probe.value = own ^ mask;
            return true;
        };
        const double probes = static_cast<double>(work_.probes) + masks_of(reader.table().bits, apart);
        const auto most =
            static_cast<std::uint64_t>(std::clamp((budget_ - probes * Cost::probe) / Cost::entry, 0.0, 1e18));
        bool affordable = true;
        each_block(reader, next, [&](Probe* probes, std::size_t count) {
            work_.probes += count;
            for (std::size_t i = 0; i < count; ++i) work_.entries += probes[i].range.end - probes[i].range.begin;
            if (work_.entries > most) return affordable = false;
            reader.each_near(
                probes, count, apart, [&](const Probe&) { return query_; }, [&] { return selection_.bound(); },
                [&](const Probe&, const Item& item, std::uint32_t group) { meet(number, item, group); });
            return true;
        });
        return affordable;
    }

    void meet(std::size_t table, const Item& item, std::uint32_t group) {
        const unsigned apart = distance(index_, query_, item);
        if (apart <= selection_.bound() && is_new(index_, query_, item, table, done_.data()))
            selection_.add(apart, group, item.key);
    }

    const MultiIndex& index_;
    const Item query_;
    const double budget_;
    Selection& selection_;
    Work work_;
    std::vector<int> done_;
    std::vector<double> next_cost_;
};

}  // namespace

Work search(const MultiIndex& index, const std::uint8_t* query, const Limits& limits, Found& found) {
    Selection selection(index, limits);
    Search search(index, query, limits, selection);
    if (limits.k > 0 && index.groups > 0 && !search.grow([](int) {})) search.scan();
    selection.finish(found);
    return search.work();
}

void trace(const MultiIndex& index, const std::uint8_t* query, std::uint32_t without, const Limits& limits,
           std::int64_t* steps, std::size_t radii) {
    std::fill(steps, steps + 3 * radii, -1);
    Selection selection(index, limits);
    selection.leave_out(without);
    Search search(index, query, limits, selection);
    search.grow([&](int radius) {
        if (static_cast<std::size_t>(radius) >= radii) return;
        std::int64_t* step = steps + 3 * radius;
        step[0] = static_cast<std::int64_t>(selection.within(static_cast<unsigned>(radius)));
        step[1] = static_cast<std::int64_t>(search.work().probes);
        step[2] = static_cast<std::int64_t>(search.work().entries);
    });
}

}  // namespace kinbits::mih
