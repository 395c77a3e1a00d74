import Primitives
import Testing

struct BlockPoolTests {
  private func append(_ text: String, to block: inout Block, of pool: inout BlockPool) {
    Array(text.utf8).withUnsafeBytes { pool.append($0, to: &block) }
  }

  // Bytes already gathered from a block are sent after it has grown: the old memory must stay as it
  // was until the turn is over.
  @Test func growingKeepsTheOldBytesUntilSettled() {
    var pool = BlockPool()
    var block = Block()
    let short = String(repeating: "a", count: 1_000)
    append(short, to: &block, of: &pool)
    let old = block.bytes
    append(String(repeating: "b", count: 1_000), to: &block, of: &pool)
    #expect(block.bytes.baseAddress != old.baseAddress)
    #expect(String(decoding: old, as: UTF8.self) == short)
    #expect(block.count == 2_000)
    #expect(pool.lent == 1)
    pool.give(&block)
    pool.settle()
    #expect(pool.lent == 0)
  }

  // A block given back is lent again, but never before `settle`.
  @Test func aReturnedBlockIsNotLentBeforeItHasSettled() {
    var pool = BlockPool()
    var first = pool.take(100)
    append("first", to: &first, of: &pool)
    let place = first.bytes.baseAddress
    pool.give(&first)
    #expect(!first.isLent)
    var second = pool.take(100)
    append("second", to: &second, of: &pool)
    #expect(second.bytes.baseAddress != place)
    pool.settle()
    var third = pool.take(100)
    append("third", to: &third, of: &pool)
    #expect(third.bytes.baseAddress == place)
    pool.give(&second)
    pool.give(&third)
  }

  // Consuming moves the start; what follows is appended behind the rest, not over it.
  @Test func consumedBytesAreNotSeenAgain() {
    var pool = BlockPool()
    var block = Block()
    append("abcdef", to: &block, of: &pool)
    block.consume(4)
    append("gh", to: &block, of: &pool)
    #expect(String(decoding: block.bytes, as: UTF8.self) == "efgh")
    block.consume(4)
    #expect(block.isEmpty && block.isLent)
    pool.give(&block)
    pool.give(&block)
    #expect(pool.lent == 0)
  }

  // A body larger than every size still finds room, and its memory is not hoarded.
  @Test func oversizedBlocksAreServed() {
    var pool = BlockPool()
    var block = Block()
    append(String(repeating: "x", count: 300_000), to: &block, of: &pool)
    #expect(block.count == 300_000)
    pool.give(&block)
    pool.settle()
    #expect(pool.lent == 0)
  }
}
