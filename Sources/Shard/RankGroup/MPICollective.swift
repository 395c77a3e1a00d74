import CRankGroup
import Glibc
import Primitives

/// Ranks on several hosts, over Open MPI. The library is looked for at run time, so only who uses it
/// needs it.
///
/// Sums are gathers that each rank adds up itself in order of ranks, as in shared memory: a reduction
/// of MPI's may sum in any order.
package final class MPICollective: Collective, @unchecked Sendable {
  /// Sequence number (8 bytes) and CRC-32C (4) stand before each step.
  private static let headBytes = 12

  package let rank: Int
  package let count: Int
  private let floats: Int
  private let stepBytes: Int
  private let patience: SharedCollective.Patience
  private let own: UnsafeMutablePointer<Float>
  private let all: UnsafeMutablePointer<Float>
  /// Floats between two parts in `all`: the count of the last exchange.
  private var stride = 0
  private var step: UInt64 = 0
  private var message: [UInt8] = []

  package init(
    floatsPerExchange: Int, stepBytes: Int, patience: SharedCollective.Patience
  ) throws(GroupBroken) {
    var problem = [CChar](repeating: 0, count: 512)
    guard rank_mpi_join(&problem, problem.count) == 0 else {
      let text = problem.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      throw GroupBroken(
        "MPI is not to be had: \(String(decoding: text, as: UTF8.self)); "
          + "try `apt install openmpi-bin libopenmpi3` on every host, or ranks on one machine "
          + "without MPI")
    }
    rank = Int(rank_mpi_rank())
    count = Int(rank_mpi_count())
    let (total, isTooMuch) = floatsPerExchange.multipliedReportingOverflow(by: count)
    guard floatsPerExchange > 0, !isTooMuch, total <= Int(Int32.max) / 4 else {
      throw GroupBroken(
        "an exchange of \(floatsPerExchange) floats among \(count) ranks is more than MPI carries")
    }
    floats = floatsPerExchange
    self.stepBytes = stepBytes
    self.patience = patience
    own = .allocate(capacity: floats)
    own.initialize(repeating: 0, count: floats)
    all = .allocate(capacity: total)
    all.initialize(repeating: 0, count: total)
  }

  deinit {
    own.deallocate()
    all.deallocate()
  }

  package func meet(_ value: Int, within limit: TimeAmount) throws(GroupBroken) -> Int {
    var value = Int64(value)
    var values = [Int64](repeating: 0, count: count)
    let patience = SharedCollective.Patience(spin: .zero, limit: limit)
    try check(rank_mpi_gather(&value, &values, 8, patience.native), limit, "a meeting")
    return Int(values.min() ?? 0)
  }

  package func nextPartial(count: Int) -> UnsafeMutablePointer<Float> {
    precondition(count <= floats, "an exchange of \(count) floats in a group made for \(floats)")
    return own
  }

  package func exchange(count: Int) throws(GroupBroken) {
    precondition(count <= floats, "an exchange of \(count) floats in a group made for \(floats)")
    let result = rank_mpi_gather(
      own, all, count * MemoryLayout<Float>.stride, patience.native)
    if result != 0 { try check(result, patience.limit, "an exchange") }
    stride = count
  }

  package func addSum(of range: Range<Int>, to y: UnsafeMutablePointer<Float>) {
    rank_add_sum(y, all, stride, Int32(count), range.lowerBound, range.upperBound)
  }

  package func partial(of rank: Int) -> UnsafePointer<Float> {
    UnsafePointer(all + rank * stride)
  }

  package func lead(_ bytes: UnsafeRawBufferPointer) throws(GroupBroken) {
    guard bytes.count <= stepBytes else {
      throw GroupBroken(
        "a step takes \(bytes.count) bytes, and the group was made for \(stepBytes)")
    }
    step += 1
    message.removeAll(keepingCapacity: true)
    withUnsafeBytes(of: step.littleEndian) { message.append(contentsOf: $0) }
    let checksum = rank_checksum(bytes.baseAddress, bytes.count)
    withUnsafeBytes(of: checksum.littleEndian) { message.append(contentsOf: $0) }
    message.append(contentsOf: bytes)
    let result = rank_mpi_lead(message, message.count, patience.native)
    try check(result, patience.limit, "a step")
  }

  package func follow(into bytes: inout [UInt8]) throws(GroupBroken) {
    let patience = rank_patience(spin_ns: patience.spin.nanoseconds, limit_ns: -1)
    var length = 0
    try check(rank_mpi_await(&length, patience), .zero, "a step")
    guard (Self.headBytes...Self.headBytes + stepBytes).contains(length) else {
      throw GroupBroken("rank \(rank): a step is damaged, or not the next one")
    }
    message.removeAll(keepingCapacity: true)
    message.append(contentsOf: repeatElement(0, count: length))
    try check(rank_mpi_receive(&message, length), .zero, "a step")
    step += 1
    let isNext = message.withUnsafeBytes { all in
      let body = UnsafeRawBufferPointer(rebasing: all[Self.headBytes...])
      return all.loadUnaligned(as: UInt64.self).littleEndian == step
        && all.loadUnaligned(fromByteOffset: 8, as: UInt32.self).littleEndian
          == rank_checksum(body.baseAddress, body.count)
    }
    guard isNext else { throw GroupBroken("rank \(rank): a step is damaged, or not the next one") }
    bytes.removeAll(keepingCapacity: true)
    bytes.append(contentsOf: message[Self.headBytes...])
  }

  /// mpirun ends all ranks when one of them ends with an error.
  package func abandon() {}
  package func leave() { rank_mpi_leave() }

  private func check(_ result: Int32, _ limit: TimeAmount, _ what: String) throws(GroupBroken) {
    switch -result {
    case 0: return
    case ETIMEDOUT:
      throw GroupBroken("rank \(rank): not all ranks came to \(what) within \(limit)")
    case EMSGSIZE: throw GroupBroken("rank \(rank): \(what) is more than MPI carries")
    default: throw GroupBroken("rank \(rank): MPI failed in \(what)")
    }
  }
}
