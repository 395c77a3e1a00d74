import Primitives
import Synchronization
import Testing

@testable import Telemetry

private final class Flag: Sendable {
  let value = Atomic<Bool>(false)
}

struct AccessLogRingTests {
  /// Puts a request whose line tells its number, padded by its target.
  private func put(_ number: Int, padding: Int, to ring: AccessLogRing) {
    var request = LoggedRequest()
    request.requestID = Array("n\(number)".utf8)
    request.target = [UInt8](repeating: 0x2F, count: padding)
    request.withTexts {
      ring.append(request.record, wall: 0, texts: $0, names: LoggedRequest.names)
    }
  }

  /// The numbers of the lines in a piece.
  private func numbers(_ bytes: [UInt8]) -> [Int] {
    String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { line in
      #expect(line.hasPrefix("{\"time\"") && line.hasSuffix("}"), "a torn line: \(line)")
      let after = line.split(separator: "\"request_id\":\"n", maxSplits: 1)[1]
      return Int(after.prefix { $0 != "\"" })!
    }
  }

  // Random lines, random reads that stop anywhere, over many laps of a small ring: what comes out is
  // what went in, in order, whole; what did not go in is counted.
  @Test(arguments: UInt64(0)..<8) func linesComeOutWholeAndInOrder(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let ring = AccessLogRing(size: 16_384, wake: { _ in })
    var accepted: [Int] = []
    var out: [UInt8] = []
    for number in 0..<3_000 {
      let before = ring.droppedLines
      put(number, padding: random.below(400), to: ring)
      if ring.droppedLines == before { accepted.append(number) }
      if random.below(6) == 0 {
        for _ in 0..<(1 + random.below(3)) {
          let piece = ring.waiting()
          let count = random.below(3) == 0 ? random.below(piece.count + 1) : piece.count
          out += piece.prefix(count)
          ring.take(count)
        }
      }
    }
    while !ring.waiting().isEmpty {
      let piece = ring.waiting()
      out += piece
      ring.take(piece.count)
    }
    #expect(numbers(out) == accepted)
    #expect(accepted.count > 1_000)
    #expect(UInt64(3_000 - accepted.count) == ring.droppedLines)
  }

  // Nobody reads: the ring keeps the oldest lines, drops and counts the rest, and never blocks.
  @Test func aFullRingDropsAndCounts() {
    let ring = AccessLogRing(size: 16_384, wake: { _ in })
    for number in 0..<1_000 { put(number, padding: 20, to: ring) }
    let kept = numbers([UInt8](ring.waiting()))
    #expect(kept == Array(0..<kept.count))
    #expect(kept.count > 20)
    #expect(ring.droppedLines == UInt64(1_000 - kept.count))
  }

  // One wake-up per look of the writer, not per line; a second one when the ring is half full.
  @Test func theWriterIsWokenOnce() {
    let calls = Mutex<[Bool]>([])
    let ring = AccessLogRing(size: 32_768) { isUrgent in calls.withLock { $0.append(isUrgent) } }
    for number in 0..<5 { put(number, padding: 20, to: ring) }
    #expect(calls.withLock { $0 } == [false])
    ring.looked()
    for number in 0..<5 { put(number, padding: 20, to: ring) }
    #expect(calls.withLock { $0 } == [false, false])
    for number in 0..<1_000 { put(number, padding: 20, to: ring) }
    #expect(calls.withLock { $0 } == [false, false, true])
  }

  // One thread puts while another takes, as loop and writer do.
  @Test func putterAndTakerNeedNoLock() async {
    let ring = AccessLogRing(size: 32_768, wake: { _ in })
    let total = 20_000
    let finished = Flag()
    let out = await withTaskGroup(of: [UInt8].self) { group in
      group.addTask {
        for number in 0..<total { put(number, padding: number % 64, to: ring) }
        finished.value.store(true, ordering: .sequentiallyConsistent)
        return []
      }
      group.addTask {
        var out: [UInt8] = []
        while true {
          let wasFinished = finished.value.load(ordering: .sequentiallyConsistent)
          let piece = ring.waiting()
          out += piece
          ring.take(piece.count)
          if piece.isEmpty {
            if wasFinished { return out }
            await Task.yield()
          }
        }
      }
      return await group.reduce(into: []) { $0 += $1 }
    }
    let seen = numbers(out)
    #expect(zip(seen, seen.dropFirst()).allSatisfy { $0 < $1 })
    #expect(UInt64(total - seen.count) == ring.droppedLines)
  }
}
