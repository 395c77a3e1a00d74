import Primitives

/// How the ranks of a group sum, gather and keep in step.
///
/// Made for an executor that runs one program on all threads of a rank's team. Around one sum:
///
/// ```
/// thread 0:  part = nextPartial(count: n)
/// -- team barrier --
/// all:       write part[range]
/// -- team barrier --
/// thread 0:  exchange(count: n)
/// -- team barrier --
/// all:       addSum(of: range, to: y)
/// ```
///
/// Two exchanges in a row need no barrier of the group between them: parts alternate. What thread 0
/// changes here the others read behind the team's barrier, and nobody else changes anything: that
/// makes the implementations `@unchecked Sendable`.
package protocol Collective: AnyObject, Sendable {
  var rank: Int { get }
  var count: Int { get }

  /// Waits until all ranks are here, and gives the least of their values: the number of KV blocks
  /// that every rank has room for, say. Thread 0. `limit` is for what ranks do before, such as
  /// loading weights.
  func meet(_ value: Int, within limit: TimeAmount) throws(GroupBroken) -> Int

  /// Where this rank's partial sums of the next exchange go: `count` floats, at most what the group
  /// was made for. Thread 0, before a team barrier.
  func nextPartial(count: Int) -> UnsafeMutablePointer<Float>

  /// Afterwards the parts of all ranks can be read, until the next `exchange`. Thread 0, after a team
  /// barrier. All ranks come with the same count.
  func exchange(count: Int) throws(GroupBroken)

  /// `y[i] += part 0 [i] + part 1 [i] + ...`, summed in that order, so all ranks get the same bits.
  /// Any thread.
  func addSum(of range: Range<Int>, to y: UnsafeMutablePointer<Float>)

  /// One rank's part of the last exchange, for gathers. Any thread.
  func partial(of rank: Int) -> UnsafePointer<Float>

  /// Rank 0, thread 0: hands a step to the others. No bytes mean that the group ends in good order.
  func lead(_ bytes: UnsafeRawBufferPointer) throws(GroupBroken)

  /// The other ranks, thread 0: waits for the next step, for hours if need be, and replaces `bytes`
  /// by it. Notices within about 100 ms when a rank has died.
  func follow(into bytes: inout [UInt8]) throws(GroupBroken)

  /// Gives the group up, because of an error on this rank: the others need not wait for their
  /// deadline. To be called before the process ends with an error.
  func abandon()

  /// Ends in good order, after the empty step.
  func leave()
}

extension Collective {
  package func lead(_ bytes: [UInt8]) throws(GroupBroken) {
    // Typed throws do not go through `withUnsafeBytes`.
    let result: Result<Void, GroupBroken> = bytes.withUnsafeBytes { bytes in
      do throws(GroupBroken) {
        return .success(try lead(bytes))
      } catch {
        return .failure(error)
      }
    }
    try result.get()
  }
}

/// The ranks cannot go on together. Nothing heals that: the process ends with the reason on stderr,
/// and the supervisor starts the group anew.
package struct GroupBroken: Error, Equatable, CustomStringConvertible {
  package let reason: String

  package init(_ reason: String) { self.reason = reason }

  package var description: String { reason }
}
