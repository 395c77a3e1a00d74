import CRankGroup
import Glibc
import Primitives

/// Ranks on one machine, over memory that they share.
///
/// Each rank writes its part where all can read it, and counts up a word of its own; the others look
/// at that word for some microseconds and then sleep on it, never longer than 50 ms without a look at
/// who is alive, and never longer than the deadline. Each sums all parts itself, in order of ranks.
package final class SharedCollective: Collective, @unchecked Sendable {
  /// How long ranks wait for each other.
  package struct Patience: Equatable, Sendable {
    /// Time to look before the first sleep, as long as looking has found something of late. Longer
    /// than ranks differ in one layer; a sleep and its end cost 7 µs where a core is idle.
    package var spin: TimeAmount
    /// After it a rank that does not come breaks the group. Time in which this process was itself
    /// stopped does not count.
    package var limit: TimeAmount

    package init(spin: TimeAmount = .microseconds(50), limit: TimeAmount = .seconds(30)) {
      self.spin = spin
      self.limit = limit
    }

    var native: rank_patience {
      rank_patience(spin_ns: spin.nanoseconds, limit_ns: limit.nanoseconds)
    }
  }

  package let rank: Int
  package let count: Int
  private let group: OpaquePointer
  private let floats: Int
  /// Floats between the parts of two ranks; 0 in a group of one.
  private let stride: Int
  private let patience: Patience

  /// Memory for a group, to be inherited by its ranks as a descriptor, or `-errno`.
  ///
  /// - Parameters:
  ///   - floatsPerExchange: the most that one rank brings to one exchange.
  ///   - stepBytes: the most that one step takes. Memory is used as it is written to, so both may be
  ///     generous.
  package static func memory(ranks: Int, floatsPerExchange: Int, stepBytes: Int) -> Int32 {
    guard (1...Int(RANK_LIMIT)).contains(ranks), floatsPerExchange > 0, stepBytes > 0 else {
      return -EINVAL
    }
    return rank_group_create(Int32(ranks), floatsPerExchange, stepBytes)
  }

  /// - Parameter memory: from `memory(ranks:floatsPerExchange:stepBytes:)`; may be closed afterwards.
  package init(memory: Int32, rank: Int, patience: Patience = Patience()) throws(GroupBroken) {
    var group: OpaquePointer?
    let result = rank_group_attach(memory, Int32(rank), &group)
    guard result == 0, let group else {
      throw GroupBroken(
        "rank \(rank) cannot use the group's memory: \(String(cString: strerror(-result)))")
    }
    self.group = group
    self.rank = rank
    self.patience = patience
    count = Int(rank_group_count(group))
    floats = rank_group_floats(group)
    stride = count > 1 ? rank_group_part(group, 1) - rank_group_part(group, 0) : 0
  }

  deinit { rank_group_detach(group) }

  /// From now on this process ends when the other end of `life` is closed, and other ranks see when it
  /// ends. Once, after which this object lives as long as the process.
  func watchLife(_ life: Int32) throws(GroupBroken) {
    _ = Unmanaged.passRetained(self)
    let result = rank_watch_life(life, 0, group)
    guard result == 0 else {
      throw GroupBroken("cannot start a thread: \(String(cString: strerror(-result)))")
    }
  }

  package func meet(_ value: Int, within limit: TimeAmount) throws(GroupBroken) -> Int {
    var least: Int64 = 0
    var culprit: Int32 = -1
    let patience = Patience(spin: .zero, limit: limit)
    let result = rank_group_meet(group, Int64(value), patience.native, &least, &culprit)
    try check(result, culprit, limit, "to the meeting")
    return Int(least)
  }

  package func nextPartial(count: Int) -> UnsafeMutablePointer<Float> {
    precondition(count <= floats, "an exchange of \(count) floats in a group made for \(floats)")
    return rank_group_next(group)
  }

  package func exchange(count: Int) throws(GroupBroken) {
    var culprit: Int32 = -1
    let result = rank_group_exchange(group, count, patience.native, &culprit)
    if result != 0 { try check(result, culprit, patience.limit, "to an exchange") }
  }

  package func addSum(of range: Range<Int>, to y: UnsafeMutablePointer<Float>) {
    rank_add_sum(
      y, rank_group_part(group, 0), stride, Int32(count), range.lowerBound, range.upperBound)
  }

  package func partial(of rank: Int) -> UnsafePointer<Float> {
    rank_group_part(group, Int32(rank))
  }

  package func lead(_ bytes: UnsafeRawBufferPointer) throws(GroupBroken) {
    var culprit: Int32 = -1
    let result = rank_group_lead(group, bytes.baseAddress, bytes.count, patience.native, &culprit)
    if result == -EMSGSIZE {
      throw GroupBroken(
        "a step takes \(bytes.count) bytes, and the group was made for "
          + "\(rank_group_step_bytes(group))")
    }
    try check(result, culprit, patience.limit, "to the last step")
  }

  package func follow(into bytes: inout [UInt8]) throws(GroupBroken) {
    var culprit: Int32 = -1
    var step: UnsafeRawPointer?
    var length = 0
    let patience = rank_patience(spin_ns: patience.spin.nanoseconds, limit_ns: -1)
    var result = rank_group_follow(group, patience, &step, &length, &culprit)
    try check(result, culprit, .zero, "to a step")
    bytes.removeAll(keepingCapacity: true)
    bytes.append(contentsOf: UnsafeRawBufferPointer(start: step, count: length))
    result = bytes.withUnsafeBytes { rank_group_followed(group, $0.baseAddress, $0.count) }
    try check(result, culprit, .zero, "to a step")
  }

  package func abandon() { rank_group_break(group) }
  package func leave() {}

  private func check(
    _ result: Int32, _ culprit: Int32, _ limit: TimeAmount, _ what: String
  ) throws(GroupBroken) {
    switch -result {
    case 0: return
    case ETIMEDOUT:
      throw GroupBroken("rank \(rank): rank \(culprit) did not come \(what) within \(limit)")
    case EOWNERDEAD: throw GroupBroken("rank \(rank): rank \(culprit) has died")
    case ECANCELED: throw GroupBroken("rank \(rank): rank \(culprit) has given the group up")
    case EPROTO:
      throw GroupBroken("rank \(rank): rank \(culprit) came \(what) with another count")
    case EBADMSG: throw GroupBroken("rank \(rank): a step is damaged, or not the next one")
    default: throw GroupBroken("rank \(rank): \(String(cString: strerror(-result)))")
    }
  }
}
