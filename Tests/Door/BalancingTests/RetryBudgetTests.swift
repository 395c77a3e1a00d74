import Balancing
import Primitives
import Testing

@Suite struct RetryBudgetTests {
  let start = Instant(nanoseconds: 5_000_000_000)

  // 20 % of traffic, counted exactly: floating point would drift.
  @Test func allowsAShareOfTraffic() {
    var budget = RetryBudget(ratio: 0.2, minimumPerSecond: 0, at: start)
    #expect(budget.withdraw(at: start) == false)
    for _ in 0..<4 { budget.deposit(at: start) }
    #expect(budget.withdraw(at: start) == false)
    budget.deposit(at: start)
    #expect(budget.withdraw(at: start) == true)
    #expect(budget.withdraw(at: start) == false)
    for _ in 0..<1_000 { budget.deposit(at: start) }
    #expect(budget.available(at: start) == 200)
  }

  // Without a floor, the first request of a quiet service could not be retried.
  @Test func allowsTenPerSecondAnyway() {
    var budget = RetryBudget(ratio: 0.2, minimumPerSecond: 10, at: start)
    var granted = 0
    // A second-by-second flood of wishes over a minute.
    for second in 0..<60 {
      for _ in 0..<100 where budget.withdraw(at: start + .seconds(Int64(second))) { granted += 1 }
    }
    #expect(granted == 600)
  }

  // Yesterday's traffic does not pay for today's storm.
  @Test func depositsExpireAfterTenSeconds() {
    var budget = RetryBudget(ratio: 0.2, minimumPerSecond: 0, at: start)
    for _ in 0..<100 { budget.deposit(at: start) }
    #expect(budget.available(at: start + .milliseconds(9_999)) == 20)
    #expect(budget.available(at: start + .seconds(10)) == 0)
    #expect(budget.withdraw(at: start + .seconds(3_600)) == false)
  }

  @Test func newSettingsKeepTheBalance() {
    var budget = RetryBudget(ratio: 0.2, minimumPerSecond: 0, at: start)
    for _ in 0..<10 { budget.deposit(at: start) }
    budget.configure(ratio: 1, minimumPerSecond: 1)
    #expect(budget.available(at: start) == 12)
    budget.deposit(at: start)
    #expect(budget.available(at: start) == 13)
  }
}
