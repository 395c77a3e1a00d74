/// Requests counted by route, pool, member and code class, without a cell for each combination.
///
/// Most combinations never occur (a route has one pool, a member belongs to one), so cells are found
/// through a table with open addressing, by about 5 ns. It grows by doubling, and only when a
/// combination is seen for the first time.
package struct RequestCells: Sendable {
  package struct Key: Hashable, Comparable, Sendable {
    package var route: Int32
    package var pool: Int32
    package var member: Int32

    package static func < (a: Key, b: Key) -> Bool {
      (a.route, a.pool, a.member) < (b.route, b.pool, b.member)
    }
  }

  package struct Cell: Sendable {
    package let key: Key
    /// By `CodeClass`.
    package var counts: [6 of UInt64] = .init(repeating: 0)
  }

  /// In the order in which combinations were first seen.
  package private(set) var cells: [Cell] = []
  /// Places of cells plus one; 0 is free. The size is a power of two, at least a third of it free.
  private var places: [UInt32] = .init(repeating: 0, count: 64)

  package init() {}

  package mutating func count(_ key: Key, _ codeClass: CodeClass) {
    cells[find(key)].counts[Int(codeClass.rawValue)] &+= 1
  }

  package mutating func merge(_ other: RequestCells) {
    for cell in other.cells {
      let index = find(cell.key)
      for codeClass in 0..<6 { cells[index].counts[codeClass] &+= cell.counts[codeClass] }
    }
  }

  /// A copy that shares no storage, so that the next count need not copy.
  package func detached() -> RequestCells {
    var copy = self
    copy.cells = cells.detached()
    copy.places = places.detached()
    return copy
  }

  private static func slot(_ key: Key, _ mask: Int) -> Int {
    // Fibonacci hashing; ids are small and dense, so the high bits of the product spread well.
    let packed =
      UInt64(UInt32(bitPattern: key.route)) &* 0x9E37_79B9_7F4A_7C15
      ^ UInt64(UInt32(bitPattern: key.member)) &* 0xC2B2_AE3D_27D4_EB4F
      ^ UInt64(UInt32(bitPattern: key.pool)) &* 0x1656_67B1_9E37_79F9
    return Int(truncatingIfNeeded: packed >> 32) & mask
  }

  private mutating func find(_ key: Key) -> Int {
    let mask = places.count - 1
    var slot = Self.slot(key, mask)
    while places[slot] != 0 {
      let index = Int(places[slot]) - 1
      if cells[index].key == key { return index }
      slot = (slot + 1) & mask
    }
    cells.append(Cell(key: key))
    places[slot] = UInt32(cells.count)
    if cells.count * 3 > places.count * 2 { grow() }
    return cells.count - 1
  }

  private mutating func grow() {
    let mask = places.count * 2 - 1
    places = .init(repeating: 0, count: mask + 1)
    for (index, cell) in cells.enumerated() {
      var slot = Self.slot(cell.key, mask)
      while places[slot] != 0 { slot = (slot + 1) & mask }
      places[slot] = UInt32(index + 1)
    }
  }
}

extension Array {
  /// A copy in storage of its own. Plain assignment would share it, and make the loop that goes on
  /// counting pay for the copy.
  func detached() -> [Element] { withUnsafeBufferPointer { Array($0) } }
}
