import Primitives
import Testing

struct SlabTests {
  // An event for a connection that has gone must not reach the next tenant of its place.
  @Test func aHandleOfAFormerTenantFindsNothing() {
    var slab = Slab<Int>()
    let first = slab.insert(1)
    slab.remove(first)
    let second = slab.insert(2)
    #expect(second.index == first.index)
    #expect(slab.pointer(first) == nil)
    #expect(slab.pointer(second)?.pointee == 2)
  }

  // Zero is what uninitialised epoll data holds.
  @Test func noneNeverNamesALivingEntry() {
    var slab = Slab<Int>()
    let first = slab.insert(1)
    #expect(first.index == 0 && first.generation == 1)
    #expect(slab.pointer(.none) == nil)
    #expect(Handle(bits: 0).isNone)
    #expect(Handle(bits: first.bits) == first)
  }

  // Pointers to entries are kept over a turn while others are inserted.
  @Test func entriesStayWhereTheyAreWhileTheSlabGrows() {
    var slab = Slab<Int>()
    let handle = slab.insert(7)
    let place = slab.pointer(handle)
    for value in 0..<1_000 { _ = slab.insert(value) }
    #expect(slab.pointer(handle) == place)
    #expect(place?.pointee == 7)
    #expect(slab.count == 1_001)
  }

  // Entries hold references (codecs, blocks); one that is not deinitialised leaks a connection.
  @Test func entriesAreDestroyedExactlyOnce() {
    final class Witness {}
    weak var removed: Witness?
    weak var remaining: Witness?
    do {
      var slab = Slab<Witness>()
      var one: Witness? = Witness()
      var two: Witness? = Witness()
      removed = one
      remaining = two
      let handle = slab.insert(one!)
      _ = slab.insert(two!)
      one = nil
      two = nil
      slab.remove(handle)
      #expect(removed == nil)
      #expect(remaining != nil)
    }
    #expect(remaining == nil)
  }

  // Against a dictionary, over a long random life: nothing is lost, nothing appears twice.
  @Test(arguments: UInt64(0)..<4)
  func behavesLikeADictionaryOfHandles(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var slab = Slab<Int>()
    var model: [Handle: Int] = [:]
    var gone: [Handle] = []
    for value in 0..<2_000 {
      if random.below(5) < 3 || model.isEmpty {
        let handle = slab.insert(value)
        #expect(model.updateValue(value, forKey: handle) == nil)
      } else {
        let handle = model.keys.min { $0.bits < $1.bits }!
        slab.remove(handle)
        model[handle] = nil
        gone.append(handle)
      }
    }
    #expect(slab.count == model.count)
    for handle in gone { #expect(slab.pointer(handle) == nil) }
    var seen: [Handle: Int] = [:]
    slab.visitAll { seen[$0] = $1.pointee }
    #expect(seen == model)
  }
}
