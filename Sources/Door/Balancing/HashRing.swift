/// FNV-1a, then mixed: the identity of a key or a name on the ring. The same in every process.
package func hashKey(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
  var hash: UInt64 = 0xcbf2_9ce4_8422_2325
  for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
  return mix(hash)
}

/// SplitMix64's finaliser: every input bit reaches every output bit.
@inline(__always)
func mix(_ value: UInt64) -> UInt64 {
  var z = value &+ 0x9e37_79b9_7f4a_7c15
  z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
  z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
  return z ^ (z >> 31)
}

/// A weighted ring of hashes: who stands next to a key serves it.
///
/// Points depend on names and weights only, so all loops, and all front doors with the same
/// configuration, agree; a member that comes or goes moves its own share of keys and no other.
/// A ring, not rendezvous hashing: its cost per pick does not grow with the number of members.
struct HashRing {
  /// Points per unit of weight: shares then differ by about 1/sqrt(128), 9 %. SMG has 150, KubeAI 256.
  static var pointsPerWeight: Int { 128 }
  /// Points of a ring in all: 2 MiB. Above a total weight of 2,048 the points per weight are halved,
  /// and again at each doubling; only then do more keys move than need to.
  static var pointLimit: Int { 1 << 18 }

  /// Sorted. The upper 48 bits are the place, the lower 16 the slot.
  private(set) var points: [UInt64] = []

  mutating func build(_ members: [(slot: Int, name: String, weight: Int)]) {
    let total = members.reduce(0) { $0 + $1.weight }
    var perWeight = Self.pointsPerWeight
    while perWeight > 1, perWeight * total > Self.pointLimit { perWeight /= 2 }
    points.removeAll(keepingCapacity: true)
    points.reserveCapacity(perWeight * total)
    for member in members {
      var name = member.name
      let seed = name.withUTF8 { hashKey(UnsafeRawBufferPointer($0)) }
      for replica in 0..<UInt64(perWeight * member.weight) {
        points.append(mix(seed &+ mix(replica)) & ~0xffff | UInt64(member.slot))
      }
    }
    points.sort()
  }

  mutating func clear() { points = [] }

  /// The first point at or after the key's place, around the end.
  func place(of key: UInt64) -> Int {
    var low = 0
    var high = points.count
    while low < high {
      let middle = (low + high) / 2
      if points[middle] < key { low = middle + 1 } else { high = middle }
    }
    return low == points.count ? 0 : low
  }

  func slot(at place: Int) -> Int { Int(points[place] & 0xffff) }
}
