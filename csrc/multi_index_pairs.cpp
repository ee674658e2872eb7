#include <algorithm>

#include "multi_index_probe.hpp"
#include "parallel.hpp"

namespace kinbits::mih {
namespace {

// The radius of each table, so that together they find all pairs within `radius`; empty if a scan costs less.
std::vector<int> table_radii(const MultiIndex& index, unsigned radius) {
    std::vector<int> radii(index.tables.size(), -1);
    const double words = static_cast<double>((index.width + 7) / 8);
    const double scan = static_cast<double>(index.groups) / 2 * words * Cost::scanned_word;
    double spent = 0;
    for (unsigned covered = 0; covered <= radius; ++covered) {
        std::size_t cheapest = 0;
        double least = INFINITY;
        for (std::size_t i = 0; i < radii.size(); ++i) {
            const auto next = static_cast<unsigned>(radii[i] + 1);
            if (next > index.tables[i].bits) continue;
            const double cost = shell_cost(index, index.tables[i], next);
            if (cost < least) least = cost, cheapest = i;
        }
        if (std::isinf(least)) break;  // every code is found
        ++radii[cheapest];
        spent += least;
        if (spent > scan) return {};
    }
    return radii;
}

// The pairs of the groups [begin, end) with all groups after each.
class PairBlock {
public:
    PairBlock(const MultiIndex& index, std::uint32_t begin, std::uint32_t end, unsigned radius)
        : index_(index), begin_(begin), end_(end), radius_(radius) {
        for (std::uint32_t group = begin; group < end; ++group) {
            queries_.push_back(index.code(group));
            const Range own = index.members_of(group);
            if (own.end - own.begin > 1) pairs_.push_back({group, group, 0});
        }
    }

    void scan() {
        const TableReader reader(index_, index_.tables[0]);
        for (std::uint32_t group = begin_; group < end_; ++group) {
            const Range after{group + 1, static_cast<std::uint32_t>(index_.groups)};
            Probe probe{reader.compared_bits(queries_[group - begin_]), 0, group - begin_, after};
            compare(reader, &probe, 1, 0, {});
        }
    }

    void probe(const std::vector<int>& radii) {
        std::vector<int> searched(radii.size(), -1);
        for (std::size_t table = 0; table < radii.size(); ++table) {
            for (int flipped = 0; flipped <= radii[table]; ++flipped)
                probe_shell(table, static_cast<unsigned>(flipped), searched);
            searched[table] = radii[table];
        }
    }

    std::vector<GroupPair>& sorted() {
        std::sort(pairs_.begin(), pairs_.end(), [](const GroupPair& a, const GroupPair& b) {
            return a.first != b.first ? a.first < b.first : a.second < b.second;
        });
        return pairs_;
    }

private:
    void probe_shell(std::size_t number, unsigned flipped, const std::vector<int>& searched) {
        const TableReader reader(index_, index_.tables[number]);
        Masks masks(reader.table().bits, flipped);
        std::uint32_t mask = 0, query = end_ - begin_;
        const auto next = [&](Probe& probe) {
            while (true) {
                if (query == end_ - begin_) {
                    if (!masks.next(mask)) return false;
                    query = 0;
                }
                const CodeRef& code = queries_[query];
                const std::uint32_t substring = index_.substring(code, reader.table());
                probe = {reader.compared_bits(code), substring ^ mask, query++, {}};
                if (number > 0 || probe.substring >= substring)
                    return true;  // lower buckets of table 0 hold earlier groups
            }
        };
        each_block(reader, next, [&](Probe* probes, std::size_t count) {
            compare(reader, probes, count, flipped, searched);
            return true;
        });
    }

    void compare(const TableReader& reader, Probe* probes, std::size_t count, unsigned flipped,
                 const std::vector<int>& searched) {
        const auto number = static_cast<std::size_t>(&reader.table() - index_.tables.data());
        reader.each_within(
            probes, count, flipped, [&](const Probe& probe) { return queries_[probe.query]; }, [&] { return radius_; },
            [&](const Probe& probe, const CodeRef& code, std::uint32_t group) {
                if (searched.empty() || is_new(index_, queries_[probe.query], code, number, searched.data()))
                    add_pair(begin_ + probe.query, code, group);
            });
    }

    void add_pair(std::uint32_t group, const CodeRef& code, std::uint32_t partner) {
        const CodeRef& query = queries_[group - begin_];
        if (partner == unknown_group ? code.key <= query.key : partner <= group) return;
        const unsigned distance = index_.distance(query, code);
        if (distance > radius_) return;
        if (partner == unknown_group) partner = index_.group_of(code.key);
        if (partner <= group) throw Damaged();  // the keys do not ascend
        pairs_.push_back({group, partner, distance});
    }

    const MultiIndex& index_;
    const std::uint32_t begin_, end_;
    const unsigned radius_;
    std::vector<CodeRef> queries_;
    std::vector<GroupPair> pairs_;
};

}  // namespace

void pair_groups(const MultiIndex& index, std::uint32_t begin, std::uint32_t end, unsigned radius, std::size_t threads,
                 std::vector<GroupPair>& pairs) {
    constexpr std::size_t size = 128;  // groups whose probes are made together
    const std::vector<int> radii = table_radii(index, radius);
    const std::size_t blocks = (end - begin + size - 1) / size;
    std::vector<std::vector<GroupPair>> found(blocks);
    each_task(threads, blocks, [&](std::size_t number) {
        const auto first = static_cast<std::uint32_t>(begin + number * size);
        PairBlock block(index, first, static_cast<std::uint32_t>(std::min<std::size_t>(end, first + size)), radius);
        if (radii.empty())
            block.scan();
        else
            block.probe(radii);
        found[number] = std::move(block.sorted());
    });
    for (const auto& part : found) pairs.insert(pairs.end(), part.begin(), part.end());
}

std::size_t expand_pairs(const MultiIndex& index, const GroupPair* pairs, std::size_t count, PairCursor& cursor,
                         std::size_t room, std::int64_t* first, std::int64_t* second, std::int32_t* distances) {
    std::size_t written = 0;
    for (; cursor.pair < count; cursor = {cursor.pair + 1, 0, 0}) {
        const GroupPair& pair = pairs[cursor.pair];
        const Range a = index.members_of(pair.first), b = index.members_of(pair.second);
        const bool same = pair.first == pair.second;
        for (; cursor.first < a.end - a.begin; ++cursor.first, cursor.second = 0) {
            if (same) cursor.second = std::max(cursor.second, cursor.first + 1);
            const std::int64_t row = index.row(a.begin + static_cast<std::uint32_t>(cursor.first));
            for (; cursor.second < b.end - b.begin; ++cursor.second, ++written) {
                if (written == room) return written;
                const std::int64_t other = index.row(b.begin + static_cast<std::uint32_t>(cursor.second));
                first[written] = std::min(row, other);
                second[written] = std::max(row, other);
                distances[written] = static_cast<std::int32_t>(pair.distance);
            }
        }
    }
    return written;
}

}  // namespace kinbits::mih
