/// xoshiro256** seeded through SplitMix64: the only source of randomness of the pure rooms.
///
/// Constants are those of Blackman and Vigna's public description. Not for secrets.
@usableFromInline
package struct SeededRandom: RandomNumberGenerator, Sendable {
  @usableFromInline var s0: UInt64
  @usableFromInline var s1: UInt64
  @usableFromInline var s2: UInt64
  @usableFromInline var s3: UInt64

  package init(seed: UInt64) {
    var x = seed
    func splitMix() -> UInt64 {
      x &+= 0x9E37_79B9_7F4A_7C15
      var z = x
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
    s0 = splitMix()
    s1 = splitMix()
    s2 = splitMix()
    s3 = splitMix()
  }

  @inlinable package mutating func next() -> UInt64 {
    let product = s1 &* 5
    let result = ((product << 7) | (product >> 57)) &* 9
    let t = s1 << 17
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= t
    s3 = (s3 << 45) | (s3 >> 19)
    return result
  }

  /// Uniform in 0..<bound by multiply and shift; the bias is below bound / 2^32.
  @inlinable package mutating func below(_ bound: Int) -> Int {
    Int((UInt64(truncatingIfNeeded: bound) &* (next() >> 32)) >> 32)
  }

  /// Uniform in 0..<1.
  @inlinable package mutating func unit() -> Double { Double(next() >> 11) * 0x1.0p-53 }
}
