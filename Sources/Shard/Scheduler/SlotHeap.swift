/// Slots in order of a key, the one that came first on equal keys. A binary heap that knows where
/// each slot lies, so that any of them is taken out in O(log n): nothing of an aborted request
/// stays behind.
struct SlotHeap: Sendable {
  private struct Entry {
    var key: Int64
    /// Orders equal keys. Unique.
    var serial: UInt64
    var slot: Int32

    static func < (a: Entry, b: Entry) -> Bool {
      a.key != b.key ? a.key < b.key : a.serial < b.serial
    }
  }

  private var heap: [Entry] = []
  /// By slot: its place in `heap`, or -1.
  private var places: [Int32] = []

  var count: Int { heap.count }
  var isEmpty: Bool { heap.isEmpty }
  var first: Int? { heap.isEmpty ? nil : Int(heap[0].slot) }
  var firstKey: Int64? { heap.isEmpty ? nil : heap[0].key }

  func contains(_ slot: Int) -> Bool { slot < places.count && places[slot] >= 0 }

  mutating func insert(_ slot: Int, key: Int64, serial: UInt64) {
    while places.count <= slot { places.append(-1) }
    precondition(places[slot] < 0, "scheduler: slot \(slot) is in the heap twice")
    heap.append(Entry(key: key, serial: serial, slot: Int32(slot)))
    rise(from: heap.count - 1)
  }

  /// Does nothing when the slot is not there.
  mutating func remove(_ slot: Int) {
    guard contains(slot) else { return }
    let place = Int(places[slot])
    places[slot] = -1
    let last = heap.removeLast()
    guard place < heap.count else { return }
    heap[place] = last
    rise(from: place)
    sink(from: Int(places[Int(last.slot)]))
  }

  private mutating func rise(from start: Int) {
    var place = start
    let entry = heap[place]
    while place > 0, entry < heap[(place - 1) / 2] {
      put(heap[(place - 1) / 2], at: place)
      place = (place - 1) / 2
    }
    put(entry, at: place)
  }

  private mutating func sink(from start: Int) {
    var place = start
    let entry = heap[place]
    while true {
      var child = 2 * place + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
      guard heap[child] < entry else { break }
      put(heap[child], at: place)
      place = child
    }
    put(entry, at: place)
  }

  private mutating func put(_ entry: Entry, at place: Int) {
    heap[place] = entry
    places[Int(entry.slot)] = Int32(place)
  }
}
