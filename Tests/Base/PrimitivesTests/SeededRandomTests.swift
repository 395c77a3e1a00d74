import Primitives
import Testing

struct SeededRandomTests {
  // Every seed of a failing simulation that was ever written down depends on these numbers. They
  // were computed from the public description by a program in another language.
  @Test func theSequenceOfASeedNeverChanges() {
    var random = SeededRandom(seed: 1)
    #expect(
      (0..<4).map { _ in random.next() } == [
        0xb3f2_af6d_0fc7_10c5,
        0x853b_5596_4736_4cea,
        0x92f8_9756_082a_4514,
        0x642e_1c7b_c266_a3a7,
      ])
  }

  // A result at the bound indexes past the end of a pool.
  @Test(arguments: UInt64(0)..<4)
  func belowStaysBelowAndReachesEveryValue(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var seen = [Int](repeating: 0, count: 7)
    for _ in 0..<7_000 { seen[random.below(7)] += 1 }
    // 1,000 expected, standard deviation 29: a fair generator stays within six of them.
    for count in seen { #expect((824...1_176).contains(count)) }
    for _ in 0..<1_000 {
      let unit = random.unit()
      #expect(unit >= 0 && unit < 1)
    }
    #expect(random.below(1) == 0)
  }
}
