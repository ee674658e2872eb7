// collect_entries of kernels.hpp, one entry at a time. Include it after kernels.inl.

namespace kinbits {
namespace {

std::size_t collect_entries(const mih::Entries& entries, const mih::Probe* probes, std::size_t count, unsigned bound,
                            mih::EntryHit* hits) {
    std::size_t found = 0;
    for (std::uint32_t number = 0; number < count; ++number)
        found += collect_probe(entries, probes[number], number, bound, hits + found);
    return found;
}

}  // namespace
}  // namespace kinbits
