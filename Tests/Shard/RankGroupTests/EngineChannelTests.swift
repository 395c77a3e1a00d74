import CLinux
import Generation
import Glibc
import Primitives
import Testing

@testable import RankGroup

/// What breaks here: a step loop that waits for ever for a server that does not read, or that takes
/// nonsense for an order.
@Suite struct EngineChannelTests {
  private func pair(stallLimit: TimeAmount = .seconds(20)) -> (EngineChannel, Int32) {
    var ends: [Int32] = [-1, -1]
    #expect(portico_socketpair(&ends) == 0)
    return (EngineChannel(descriptor: ends[0], stallLimit: stallLimit), ends[1])
  }

  private func write(_ bytes: [UInt8], _ descriptor: Int32) {
    #expect(portico_send(descriptor, bytes, bytes.count) == bytes.count)
  }

  /// Orders come in order, an order in pieces is one order, and the end is told from a break.
  @Test func orders() throws {
    let (channel, server) = pair()
    var orders: [EngineOrder] = []
    #expect(try channel.poll(into: &orders, timeout: .zero))
    #expect(orders.isEmpty)
    var bytes: [UInt8] = []
    EngineOrder.submit(GenerationRequest(id: 1, prompt: [1, 2], maxTokens: 3)).append(to: &bytes)
    EngineOrder.abort(id: 1).append(to: &bytes)
    write(Array(bytes[..<20]), server)
    #expect(try channel.poll(into: &orders, timeout: .seconds(10)))
    #expect(orders.isEmpty)
    write(Array(bytes[20...]), server)
    #expect(try channel.poll(into: &orders, timeout: .seconds(10)))
    #expect(
      orders == [
        .submit(GenerationRequest(id: 1, prompt: [1, 2], maxTokens: 3)), .abort(id: 1),
      ])
    shutdown(server, Int32(SHUT_WR))
    #expect(try channel.poll(into: &orders, timeout: .seconds(10)) == false)
    // The last events still go out.
    channel.send(.finished(id: 1, .length))
    try channel.drain()
    var buffer = [UInt8](repeating: 0, count: 100)
    #expect(portico_receive(server, &buffer, 100) == 14)
    close(server)
  }

  @Test func nonsense() {
    let (channel, server) = pair()
    defer { close(server) }
    var orders: [EngineOrder] = []
    write([1, 0, 0, 0, 9], server)
    #expect(throws: GroupBroken("the server's orders make no sense: there is no order of kind 9")) {
      try channel.poll(into: &orders, timeout: .seconds(10))
    }
  }

  /// A server that dies in the middle of an order has not ended in good order.
  @Test func aBreakInTheMiddle() {
    let (channel, server) = pair()
    var orders: [EngineOrder] = []
    write([9, 0], server)
    close(server)
    // The bytes, and then the end.
    #expect(throws: GroupBroken("the channel broke")) {
      for _ in 0..<2 { _ = try channel.poll(into: &orders, timeout: .seconds(10)) }
    }
  }

  /// Nobody reads: the loop goes on until too much has gathered, then waits, then ends.
  @Test func aServerThatDoesNotRead() {
    let (channel, server) = pair(stallLimit: .milliseconds(100))
    defer { close(server) }
    var report = EngineReport()
    report.steps = 1
    #expect(throws: GroupBroken("the server has not read for 100ms")) {
      for _ in 0..<(2 * EngineChannel.backlogLimitBytes / 100) {
        channel.send(.report(report))
        try channel.flush()
      }
    }
  }
}
