import Primitives
import Testing

struct GatherTests {
  private func text(_ gather: borrowing Gather, _ range: Range<Int>) -> String {
    var bytes: [UInt8] = []
    for index in range {
      let segment = gather.segments[index]
      bytes += UnsafeRawBufferPointer(start: segment.base, count: segment.count)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private func put(_ text: String, into gather: inout Gather) {
    let room = gather.reserve(text.utf8.count)
    room.copyBytes(from: text.utf8)
    gather.commit(text.utf8.count)
  }

  // A body of many chunks relayed verbatim must leave as one segment, or a write needs a system call
  // per chunk.
  @Test func neighboursBecomeOneSegment() {
    let input = Array("abcdef".utf8)
    input.withUnsafeBytes { input in
      var gather = Gather()
      gather.append(UnsafeRawBufferPointer(rebasing: input[..<2]))
      gather.append(UnsafeRawBufferPointer(rebasing: input[2..<4]))
      gather.append(UnsafeRawBufferPointer(rebasing: input[5...]))
      let range = gather.cut()
      #expect(range == 0..<2)
      #expect(text(gather, range) == "abcdf")
    }
  }

  // Merging across a cut would send the second write's bytes with the first, to another connection.
  @Test func neighboursOfDifferentWritesStayApart() {
    let input = Array("abcd".utf8)
    input.withUnsafeBytes { input in
      var gather = Gather()
      gather.append(UnsafeRawBufferPointer(rebasing: input[..<2]))
      let first = gather.cut()
      gather.append(UnsafeRawBufferPointer(rebasing: input[2...]))
      let second = gather.cut()
      #expect(text(gather, first) == "ab")
      #expect(text(gather, second) == "cd")
      #expect(gather.cut().isEmpty)
    }
  }

  // Segments of a full page must stay good while a second page is filled.
  @Test func textsStayGoodWhenTheArenaGetsAnotherPage() {
    var gather = Gather()
    let long = String(repeating: "x", count: 40_000)
    let longer = String(repeating: "y", count: 40_000)
    let huge = String(repeating: "z", count: 200_000)
    put(long, into: &gather)
    put(longer, into: &gather)
    put(huge, into: &gather)
    #expect(gather.openBytes == 280_000)
    #expect(text(gather, gather.cut()) == long + longer + huge)
    gather.reset()
    put(huge, into: &gather)
    #expect(text(gather, gather.cut()) == huge)
  }

  // A head that was begun and then given up must not be sent with what follows.
  @Test func whatIsDiscardedIsNotWritten() {
    var gather = Gather()
    put("kept", into: &gather)
    let kept = gather.cut()
    put("lost", into: &gather)
    gather.discardOpen()
    #expect(gather.openBytes == 0)
    gather.append("after")
    #expect(text(gather, gather.cut()) == "after")
    #expect(text(gather, kept) == "kept")
  }

  // What a socket does not take is copied to a block, in order and behind what waits there.
  @Test func anOpenWriteIsCopiedInOrder() {
    var gather = Gather()
    var pool = BlockPool()
    var block = Block()
    "first ".utf8.withContiguousStorageIfAvailable {
      pool.append(UnsafeRawBufferPointer($0), to: &block)
    }
    put("not this", into: &gather)
    _ = gather.cut()
    put("second ", into: &gather)
    gather.append("third")
    gather.copyOpen(to: &block, of: &pool)
    #expect(String(decoding: block.bytes, as: UTF8.self) == "first second third")
    pool.give(&block)
    #expect(pool.lent == 0)
  }
}
