import CLinux
import Glibc
import Testing

@testable import Lifecycle

@Suite struct ProcessFactsTests {
  // Facts of another unit or another field would look plausible on a dashboard for months.
  @Test func ofThisProcess() throws {
    let facts = try #require(ProcessFacts.read())
    #expect((1 << 20..<1 << 40).contains(facts.residentBytes))
    #expect(facts.virtualBytes > facts.residentBytes)
    #expect(facts.threads >= 1)
    #expect(facts.cpuSeconds > 0)
    let now = Double(portico_realtime_ns()) / 1e9
    #expect(facts.startSeconds <= now + 1 && facts.startSeconds > now - 86_400)
    #expect(facts.openDescriptors >= 3)
    #expect(facts.descriptorLimit >= UInt64(facts.openDescriptors))
  }

  // A process may be named so that its line looks like another one.
  @Test func oddNames() {
    let numbers = (4...52).map { "\($0)" }.joined(separator: " ")
    for name in ["portico", "a) S 1 (b", "x y"] {
      let fields = StatFields(Array("7 (\(name)) S \(numbers)\n".utf8))
      #expect(fields?.threads == 20)
      #expect(fields?.startTicks == 22)
      #expect(fields?.virtualBytes == 23)
      #expect(fields?.residentPages == 24)
    }
    #expect(StatFields(Array("7 (portico) S 4 5".utf8)) == nil)
    #expect(StatFields([]) == nil)
  }
}
