import Primitives
import Testing

struct InstantTests {
  // "No limit" is a very long time; adding it must not wrap around to the past and fire at once.
  @Test func deadlinesSaturate() {
    let now = Instant(nanoseconds: 5)
    #expect(now + TimeAmount(nanoseconds: .max) == .never)
    #expect(Instant.never + .seconds(1) == .never)
    #expect(now + .seconds(1) - now == .seconds(1))
    #expect(now - .nanoseconds(3) == Instant(nanoseconds: 2))
    #expect(Instant.zero < now && now < .never)
  }

  // Shown in `/config` and read back by the parser: it must be exact, in the spelling of the YAML.
  @Test(arguments: [
    (TimeAmount.zero, "0s"), (.nanoseconds(1), "1ns"), (.microseconds(1_500), "1500us"),
    (.milliseconds(250), "250ms"), (.seconds(90), "90s"), (.seconds(300), "5m"),
    (.seconds(7_200), "2h"), (.nanoseconds(1_000_000_001), "1000000001ns"),
    (.milliseconds(-250), "-250ms"),
  ])
  func amountsAreSpelledExactly(amount: TimeAmount, text: String) {
    #expect(amount.description == text)
  }

  @Test func amountsAddAndScale() {
    #expect(TimeAmount.seconds(2) + .milliseconds(500) == .milliseconds(2_500))
    #expect(TimeAmount.seconds(2) - .milliseconds(500) == .milliseconds(1_500))
    #expect(TimeAmount.milliseconds(3) * 4 == .milliseconds(12))
    #expect(TimeAmount.milliseconds(1_500).seconds == 1.5)
    #expect(TimeAmount.microseconds(1_500).milliseconds == 1.5)
  }
}
