import GRPC
import Primitives
import Synchronization
import TestClient
import Testing

@testable import GRPCServer

/// What could break: calls that are answered twice, late or never; clients that make the server hold
/// without bound; connections that other protocols take for their own.
@Suite struct CallTests {
  /// Answers each message with itself.
  private static func echo(_ call: GRPCCall) {
    call.onMessage = { [unowned call] in call.send($0) }
    call.onEnd = { [unowned call] in call.finish(.ok) }
  }

  @Test func everyKindOfCall() throws {
    let bench = try Bench { call in
      switch call.path {
      case "/t/Unary":
        call.unary { [unowned call] message in
          call.send(message + [9])
          call.finish(.ok)
        }
      case "/t/ServerStream":
        call.unary { [unowned call] message in
          for _ in 0..<message[0] { call.send(message) }
          call.finish(.ok)
        }
      default: Self.echo(call)
      }
    }
    let client = try Client(bench.address)
    let unary = client.ask("/t/Unary", [1, 2])
    #expect(unary.status == "200" && unary.messages == [[1, 2, 9]])
    #expect(unary.value("content-type") == "application/grpc")
    #expect(unary.trailers == "grpc-status: 0\r\n")
    #expect(client.ask("/t/ServerStream", [3]).messages == [[3], [3], [3]])
    // Both ways at once, on one connection with a call beside it.
    let both = client.open("/t/Both")
    for number in UInt8(0)..<5 {
      client.message(both, [number])
      client.wait { ($0.streams[both]?.messages.count ?? 0) > Int(number) }
      #expect(client.ask("/t/Unary", []).messages == [[9]])
    }
    client.end(both)
    let answer = client.wait(both)
    #expect(answer.messages == [[0], [1], [2], [3], [4]] && answer.grpcStatus == "0")
    #expect(bench.callCount == 0)
    #expect(bench.onLoop { $0.server.statuses[.ok] } == 8)
  }

  @Test func aStatusIsTheWholeAnswer() throws {
    let bench = try Bench { call in
      call.unary { [unowned call] _ in call.finish(GRPCStatus(.notFound, "no käse %")) }
    }
    let client = try Client(bench.address)
    let answer = client.ask("/t/Unary", [])
    #expect(answer.status == "200" && answer.grpcStatus == "5" && answer.trailers == "")
    #expect(answer.grpcMessage == "no k%C3%A4se %25")
    // One message is wanted.
    let none = client.open("/t/Unary", ends: true)
    #expect(client.wait(none).grpcMessage == "This method takes one message; none came.")
    let two = client.open("/t/Unary")
    client.message(two, [])
    client.message(two, [], ends: true)
    #expect(client.wait(two).grpcMessage == "This method takes one message; a second one came.")
  }

  // A byte at a time, preface and frames alike.
  @Test func cutsDoNotMatter() throws {
    let bench = try Bench(Self.echo)
    let recorder = try Client(bench.address)
    let stream = recorder.open("/t/Echo", fields: "grpc-timeout: 10S\r\n")
    recorder.message(stream, Array(0..<100), ends: true)
    #expect(recorder.wait(stream).messages == [Array(0..<100)])
    // What another client's session would send, in pieces.
    let slow = try TestClient(bench.address)
    for byte in "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8 { slow.send([byte]) }
    for byte in [0, 0, 0, 4, 0, 0, 0, 0, 0] as [UInt8] { slow.send([byte]) }
    // Our SETTINGS, and the acknowledgement of the client's.
    #expect(Array(slow.readSome().prefix(5)[3...4]) == [4, 0])
  }

  @Test func http1IsServedBesideIt() throws {
    let bench = try Bench(Self.echo)
    let client = try TestClient(bench.address)
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    #expect(client.readResponse().body == "by HTTP/1.1")
    // A preface behind a request is none.
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    #expect(client.readResponse().status == 505)
  }

  @Test func whatIsNoGRPCIsToldByHTTP() throws {
    let bench = try Bench(Self.echo)
    let client = try Client(bench.address)
    for (method, type, status) in [
      ("GET", "application/grpc", "405"), ("POST", "application/json", "415"),
      ("POST", "application/grpc-web", "415"),
    ] {
      let stream = client.open("/t/Echo", method: method, type: type, ends: true)
      #expect(client.wait(stream).status == status)
    }
    #expect(bench.callCount == 0)
  }

  @Test func compressionsAreNotSpoken() throws {
    let bench = try Bench(Self.echo)
    let client = try Client(bench.address)
    let gzip = client.ask("/t/Echo", [1], fields: "grpc-encoding: gzip\r\n")
    #expect(gzip.grpcStatus == "12" && gzip.value("grpc-accept-encoding") == "identity")
    #expect(
      gzip.grpcMessage == "grpc-encoding 'gzip' is not spoken here; only 'identity' is.")
    #expect(client.ask("/t/Echo", [1], fields: "grpc-encoding: identity\r\n").grpcStatus == "0")
    let flagged = client.open("/t/Echo")
    client.send(flagged, [1, 0, 0, 0, 0], ends: true)
    #expect(client.wait(flagged).grpcStatus == "12")
    let half = client.open("/t/Echo")
    client.send(half, [0, 0, 0, 0, 2, 1], ends: true)
    #expect(client.wait(half).grpcMessage == "The call ended inside a message.")
  }

  @Test func messagesAreBounded() throws {
    let bench = try Bench(limits: limits { $0.messageBytes = 1_000 }, Self.echo)
    let client = try Client(bench.address)
    let large = client.open("/t/Echo")
    // Told at the length, before the rest has come.
    client.send(large, [0, 0, 0, 3, 0xe9])
    let answer = client.wait(large)
    #expect(answer.grpcStatus == "8")
    #expect(
      answer.grpcMessage == "The message has 1001 bytes; at most 1000 are read (message limit).")
    // The rest need not be sent.
    #expect(answer.code == 0)
    #expect(client.ask("/t/Echo", [UInt8](repeating: 1, count: 1_000)).grpcStatus == "0")
    #expect(bench.partialBytes == 0)
  }

  // Halves of messages on many calls are bounded together, and given back.
  @Test func halvesOfMessagesAreBounded() throws {
    let bench = try Bench(limits: limits { $0.partialBytes = 250_000 }, Self.echo)
    let client = try Client(bench.address)
    let half = [0, 0, 1, 0x86, 0xa0] + [UInt8](repeating: 0, count: 90_000)
    let streams = (0..<3).map { _ in client.open("/t/Echo") }
    for stream in streams { client.send(stream, half) }
    client.wait { client in streams.contains { client.streams[$0]?.code != nil } }
    let refused = streams.filter { client.streams[$0]?.grpcStatus == "8" }
    #expect(refused.count == 1)
    for stream in streams where !refused.contains(stream) {
      client.send(stream, [UInt8](repeating: 0, count: 10_000), ends: true)
      #expect(client.wait(stream).grpcStatus == "0")
    }
    #expect(bench.partialBytes == 0)
  }

  @Test func aDeadlineEndsACall() throws {
    let closed = Tally()
    let bench = try Bench { call in
      call.onClose = { closed.add() }
      call.onMessage = { _ in }
    }
    let client = try Client(bench.address)
    let answer = client.ask("/t/Never", [], fields: "grpc-timeout: 20m\r\n")
    #expect(answer.grpcStatus == "4")
    #expect(answer.grpcMessage == "The call was not answered by its deadline.")
    #expect(closed.count == 1)
    let odd = client.ask("/t/Never", [], fields: "grpc-timeout: soon\r\n")
    #expect(odd.grpcStatus == "13")
    #expect(odd.grpcMessage == "grpc-timeout is 'soon'; it must be as 100m.")
  }

  @Test func aClientThatCancelsOrLeavesIsTold() throws {
    let closed = Tally()
    let bench = try Bench { call in
      call.onClose = { closed.add() }
      call.onMessage = { [unowned call] in call.send($0) }
    }
    var client: Client? = try Client(bench.address)
    let first = client!.open("/t/Echo")
    client!.message(first, [1])
    client!.wait { $0.streams[first]?.messages.count == 1 }
    client!.reset(first)
    while closed.count < 1 {}
    #expect(client!.ask("/t/Echo", [], fields: "grpc-timeout: 1m\r\n").grpcStatus == "4")
    let second = client!.open("/t/Echo")
    client!.message(second, [1])
    client!.wait { $0.streams[second]?.messages.count == 1 }
    client = nil
    while closed.count < 3 {}
    #expect(bench.callCount == 0)
    #expect(bench.onLoop { $0.server.statuses[.cancelled] } == 2)
  }

  // A client that takes nothing is sent no more than its window, and the call is asked to wait.
  @Test func windowsHoldAnswersBack() throws {
    let sent = Tally()
    let bench = try Bench(limits: limits { $0.outputMark = 100_000 }) { call in
      func pour() {
        while call.isOpen, sent.count < 200 {
          sent.add()
          if !call.send([UInt8](repeating: 7, count: 10_000)) { return }
        }
        call.finish(.ok)
      }
      call.onWritable = pour
      call.onMessage = { _ in pour() }
    }
    let client = try Client(bench.address, window: 65_535)
    client.consumes = false
    let stream = client.open("/t/Pour")
    client.message(stream, [], ends: true)
    client.wait { ($0.streams[stream]?.body.count ?? 0) >= 65_535 }
    bench.onLoop { _ in }
    #expect(client.streams[stream]?.body.count == 65_535)
    #expect(sent.count < 20)
    #expect(client.streams[stream]?.hasEnded == false)
  }

  // A call that does not take messages closes the client's window, not that of its neighbours.
  @Test func windowsHoldRequestsBack() throws {
    let held = Held()
    let bench = try Bench { call in
      Self.echo(call)
      guard call.path == "/t/Slow" else { return }
      call.pause()
      held.calls.append(call)
    }
    let client = try Client(bench.address)
    let slow = client.open("/t/Slow")
    for _ in 0..<100 { client.message(slow, [UInt8](repeating: 1, count: 10_007)) }
    client.end(slow)
    #expect(client.ask("/t/Fast", [1]).messages == [[1]])
    #expect(bench.partialBytes <= 256 << 10)
    #expect(client.streams[slow]?.body.isEmpty == true)
    bench.onLoop { _ in held.calls[0].resume() }
    let answer = client.wait(slow)
    #expect(answer.grpcStatus == "0" && answer.messages.count == 100)
    bench.onLoop { _ in held.calls = [] }
  }

  @Test func drainLetsCallsEnd() throws {
    let bench = try Bench { call in
      call.onMessage = { [unowned call] in call.send($0) }
      call.onEnd = { [unowned call] in call.finish(.ok) }
    }
    let client = try Client(bench.address)
    let stream = client.open("/t/Echo")
    client.message(stream, [1])
    client.wait { $0.streams[stream]?.messages.count == 1 }
    bench.drain()
    // First that no more is wanted, then which call was the last.
    client.wait { $0.goAways.count == 2 }
    #expect(client.goAways.first == .max && client.goAways.last == 1)
    client.message(stream, [2], ends: true)
    let answer = client.wait(stream)
    #expect(answer.messages == [[1], [2]] && answer.grpcStatus == "0")
    client.wait { _ in false }
    #expect(client.isOver)
    #expect(bench.isDrained)
  }

  // Calls that do not end by themselves are ended.
  @Test func drainEndsWhatGoesOn() throws {
    let bench = try Bench(limits: limits { $0.lastWords = .milliseconds(30) }) { call in
      call.onMessage = { [unowned call] in call.send($0) }
    }
    let client = try Client(bench.address)
    let stream = client.open("/t/Watch")
    client.message(stream, [1], ends: true)
    client.wait { $0.streams[stream]?.messages.count == 1 }
    bench.drain()
    let answer = client.wait(stream)
    #expect(answer.grpcStatus == "14")
    #expect(answer.grpcMessage == "The server is ending; ask another.")
    client.wait { _ in false }
    #expect(client.isOver)
  }

  // Frames that nobody understands end the connection, and the calls with it.
  @Test(arguments: UInt64(0)..<30) func noBytesEndTheServer(seed: UInt64) throws {
    let closed = Tally()
    let bench = try Bench { call in call.onClose = { closed.add() } }
    let client = try Client(bench.address)
    let stream = client.open("/t/Never")
    client.message(stream, [1])
    while bench.callCount < 1 {}
    var random = SeededRandom(seed: seed)
    client.socket.send((0..<400).map { _ in UInt8(random.next() & 0xff) })
    client.socket.finishSending()
    client.wait { _ in false }
    while closed.count < 1 {}
    #expect(bench.callCount == 0)
    #expect(
      try Client(bench.address).ask("/t/Never", [], fields: "grpc-timeout: 1m\r\n").grpcStatus
        == "4")
  }
}

/// Counts on the loop, and is read by the test.
final class Tally: Sendable {
  private let number = Atomic(0)
  func add() { number.add(1, ordering: .sequentiallyConsistent) }
  var count: Int { number.load(ordering: .sequentiallyConsistent) }
}

/// Calls that a test comes back to, on the loop only.
final class Held: @unchecked Sendable {
  var calls: [GRPCCall] = []
}
