import Primitives
import Testing

@testable import Fleet

@Suite struct ProbeStateTests {
  /// Plays probes, `+` good and `-` bad, and returns the verdict after each: `?`, `g` or `b`.
  private func verdicts(_ probes: String, rise: Int = 2, fall: Int = 3) -> String {
    var state = ProbeState()
    var before = state.verdict
    return String(
      probes.map { probe in
        let hasChanged = state.record(isGood: probe == "+", rise: rise, fall: fall)
        #expect(hasChanged == (state.verdict != before))
        before = state.verdict
        return state.verdict == .unknown ? "?" : state.verdict == .good ? "g" : "b"
      })
  }

  // A wrong count takes a healthy member out, or keeps sending requests to a dead one.
  @Test(arguments: [
    ("+", "g"),  // one good probe is enough for a member that is in use already
    ("---", "??b"),  // but it takes `fall` bad ones to take it out
    ("--+", "??g"),
    ("+--+--+---", "gggggggggb"),  // a good probe begins the run anew
    ("---+", "??bb"),
    ("---++", "??bbg"),
    ("---+-++", "??bbbbg"),  // and so does a bad one
    ("---++--", "??bbggg"),
    ("---++---", "??bbgggb"),
  ])
  func riseAndFall(probes: String, expected: String) {
    #expect(verdicts(probes) == expected)
  }

  @Test func limitsOfOne() {
    #expect(verdicts("-+-+", rise: 1, fall: 1) == "bgbg")
  }

  // A reload that lowers `fall` below a run already counted must not need the exact number.
  @Test func loweredLimits() {
    var state = ProbeState.good(failures: 5)
    var hasChanged = state.record(isGood: false, rise: 2, fall: 2)
    #expect(hasChanged)
    #expect(state.verdict == .bad)
    state = .bad(successes: 5)
    hasChanged = state.record(isGood: true, rise: 2, fall: 2)
    #expect(hasChanged)
    #expect(state.verdict == .good)
  }

  // Unknown members are used: Portico starts when nothing has been probed yet.
  @Test func usable() {
    #expect(Verdict.unknown.isUsable && Verdict.good.isUsable && !Verdict.bad.isUsable)
  }
}

@Suite struct ProbeTimingTests {
  // A fleet that starts must not open all its connections in one turn, nor wait long for the last.
  @Test(arguments: [1, 4, 1_000, 50_000]) func firstProbesAreSpread(count: Int) {
    let delays = (0..<count).map { ProbeTiming.firstDelay(index: $0, of: count) }
    #expect(delays[0] == .zero)
    #expect(delays.last! < min(.milliseconds(Int64(count)), .seconds(1)))
    #expect(delays == delays.sorted())
    #expect(Set(delays).count == count)
  }

  // Without jitter all members are probed in step; with too much some are probed too rarely.
  @Test(arguments: UInt64(0)..<20) func jitterStaysInItsPart(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let start = Instant(nanoseconds: 7)
    var sum = TimeAmount.zero
    for _ in 0..<1_000 {
      let wait =
        ProbeTiming.next(
          after: start, interval: .seconds(5), jitter: 0.1, using: &random) - start
      #expect(wait >= .milliseconds(4_500) && wait <= .milliseconds(5_500))
      sum = sum + wait
    }
    #expect(abs(sum.seconds / 1_000 - 5) < 0.05)
    #expect(
      ProbeTiming.next(after: start, interval: .seconds(5), jitter: 0, using: &random) - start
        == .seconds(5))
  }
}
