import Primitives

/// The group of one rank: nothing to wait for, nothing to sum.
///
/// An executor that knows `count == 1` writes its sums to where they belong and never comes here.
package final class SoloCollective: Collective, @unchecked Sendable {
  package let rank = 0
  package let count = 1
  private let part: UnsafeMutablePointer<Float>
  private let limit: Int

  /// - Parameter floatsPerExchange: the most that one exchange carries.
  package init(floatsPerExchange: Int) {
    limit = max(1, floatsPerExchange)
    part = .allocate(capacity: limit)
    part.initialize(repeating: 0, count: limit)
  }

  deinit { part.deallocate() }

  package func meet(_ value: Int, within limit: TimeAmount) -> Int { value }

  package func nextPartial(count: Int) -> UnsafeMutablePointer<Float> {
    precondition(count <= limit, "an exchange of \(count) floats in a group made for \(limit)")
    return part
  }

  package func exchange(count: Int) {}

  package func addSum(of range: Range<Int>, to y: UnsafeMutablePointer<Float>) {
    for i in range { y[i] += part[i] }
  }

  package func partial(of rank: Int) -> UnsafePointer<Float> { UnsafePointer(part) }
  package func lead(_ bytes: UnsafeRawBufferPointer) {}

  package func follow(into bytes: inout [UInt8]) throws(GroupBroken) {
    throw GroupBroken("a group of one rank has nobody to follow")
  }

  package func abandon() {}
  package func leave() {}
}
