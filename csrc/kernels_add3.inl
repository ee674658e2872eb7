// The full adder of kernels.inl for processors without ternary logic: five operations. Define `Word` before it.

namespace kinbits {
namespace {

__attribute__((always_inline)) inline void add3(Word a, Word& b, Word& c) {
    const Word differ = a ^ c;
    const Word majority = (a & c) | (differ & b);
    b ^= differ;
    c = majority;
}

}  // namespace
}  // namespace kinbits
