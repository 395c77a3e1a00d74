import Primitives
import Testing

@testable import GRPC

/// What could break: statuses that clients read otherwise, deadlines that are a thousand times too long.
@Suite struct VocabularyTests {
  // doc/http-grpc-status-mapping.md, row by row, and a few that it does not name.
  @Test(
    arguments: [
      (400, .internal), (401, .unauthenticated), (403, .permissionDenied), (404, .unimplemented),
      (429, .unavailable), (502, .unavailable), (503, .unavailable), (504, .unavailable),
      (200, .unknown), (302, .unknown), (405, .unknown), (500, .unknown),
    ] as [(Int, GRPCStatus.Code)])
  func statusesOfHTTP(status: Int, code: GRPCStatus.Code) {
    #expect(GRPCStatus.Code(httpStatus: status) == code)
  }

  @Test(
    arguments: [
      (400, .invalidArgument), (401, .unauthenticated), (403, .permissionDenied),
      (404, .unimplemented), (408, .deadlineExceeded), (413, .resourceExhausted),
      (429, .resourceExhausted), (431, .resourceExhausted), (500, .internal), (502, .unavailable),
      (503, .unavailable), (504, .deadlineExceeded),
    ] as [(Int, GRPCStatus.Code)])
  func refusalsOfOurs(status: Int, code: GRPCStatus.Code) {
    #expect(GRPCStatus.Code(refusalWith: status) == code)
  }

  @Test func everyCodeHasANameAndAStatus() {
    #expect(GRPCStatus.Code.allCases.map(\.rawValue) == Array(0...16))
    #expect(GRPCStatus.Code.resourceExhausted.name.description == "RESOURCE_EXHAUSTED")
    #expect(
      GRPCStatus.Code.allCases.map(\.httpStatus) == [
        200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401,
      ])
    #expect(GRPCStatus.Code(field: "14") == .unavailable)
    for odd in ["", "17", "-1", "+1", "1 ", "999999999999999999999"] {
      #expect(GRPCStatus.Code(field: odd) == .unknown)
    }
    #expect(GRPCStatus.Code(http2Error: 7) == .unavailable)
    #expect(GRPCStatus.Code(http2Error: 8) == .cancelled)
    #expect(GRPCStatus.Code(http2Error: 11) == .resourceExhausted)
    #expect(GRPCStatus.Code(http2Error: 99) == .unknown)
  }

  @Test(arguments: [
    ("1H", 3_600_000_000_000), ("2M", 120_000_000_000), ("3S", 3_000_000_000), ("4m", 4_000_000),
    ("5u", 5_000), ("6n", 6), ("0n", 0), ("00000001S", 1_000_000_000),
    ("99999999H", Int64.max),
  ])
  func timeouts(text: String, nanoseconds: Int64) {
    #expect(GRPCFields.timeout(text) == TimeAmount(nanoseconds: nanoseconds))
  }

  @Test(arguments: ["", "S", "1", "1s", "-1S", "+1S", "1.5S", "1 S", "100000000S", "1SS", "١S"])
  func whatIsNoTimeout(text: String) { #expect(GRPCFields.timeout(text) == nil) }

  // What we write is read back as the same, or as a little more: nobody is cut short by rounding.
  @Test(arguments: UInt64(0)..<50) func timeoutsComeBack(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let amount = TimeAmount(nanoseconds: Int64(random.next() >> (1 + random.next() % 62)))
    let text = GRPCFields.timeoutText(amount)
    #expect(text.utf8.count <= 9)
    let back = GRPCFields.timeout(text)?.nanoseconds ?? -1
    #expect(back >= amount.nanoseconds)
    #expect(Double(back) <= Double(amount.nanoseconds) * 1.001 + 1)
  }

  @Test func messages() {
    #expect(GRPCFields.encode(message: "a b%\n") == "a b%25%0A")
    #expect(GRPCFields.encode(message: "käse") == "k%C3%A4se")
    #expect(GRPCFields.decode(message: "k%C3%A4se%") == "käse%")
    #expect(GRPCFields.decode(message: "%zz%4") == "%zz%4")
    #expect(GRPCFields.decode(message: "%FF") == "\u{fffd}")
    // Cut between two characters.
    let long = String(repeating: "ä", count: 1_000)
    let encoded = GRPCFields.encode(message: long)
    #expect(encoded.utf8.count == 1_020)
    #expect(GRPCFields.decode(message: encoded) == String(repeating: "ä", count: 170))
  }

  @Test func mediaTypes() {
    for type in ["application/grpc", "application/grpc+proto", "Application/GRPC; a=b"] {
      #expect(GRPCFields.isGRPC(contentType: type))
    }
    for type in ["", "application/grpc-web", "application/grpcx", "application/json"] {
      #expect(!GRPCFields.isGRPC(contentType: type))
    }
  }
}

/// What could break: a message that depends on where the network has cut it.
@Suite struct FramingTests {
  private func read(
    _ pieces: [[UInt8]], limit: Int = 100
  ) throws(MessageReader.Problem) -> [[UInt8]] {
    var reader = MessageReader(limitBytes: limit)
    var messages: [[UInt8]] = []
    for piece in pieces {
      piece.withUnsafeBytes { reader.receive($0) }
      while let message = try reader.next() { messages.append(message) }
    }
    try reader.end()
    return messages
  }

  @Test(arguments: UInt64(0)..<40) func cutsDoNotMatter(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let messages = (0..<20).map { _ in
      (0..<Int(random.next() % 90)).map { _ in UInt8(random.next() & 0xff) }
    }
    let whole = messages.flatMap { MessageReader.frame($0) }
    var pieces: [[UInt8]] = []
    var place = 0
    while place < whole.count {
      let count = min(whole.count - place, Int(random.next() % 40) + 1)
      pieces.append(Array(whole[place..<place + count]))
      place += count
    }
    #expect(try read(pieces) == messages)
    #expect(try read([whole]) == messages)
    #expect(try read(whole.map { [$0] }) == messages)
  }

  @Test func whatIsNoMessageIsRefused() {
    func problem(_ bytes: [UInt8]) -> MessageReader.Problem? {
      do throws(MessageReader.Problem) {
        _ = try read([bytes])
        return nil
      } catch {
        return error
      }
    }
    #expect(problem([0, 0, 0, 0, 101]) == .tooLarge(101, limit: 100))
    #expect(problem([0, 0xff, 0xff, 0xff, 0xff]) == .tooLarge(0xffff_ffff, limit: 100))
    #expect(problem([1, 0, 0, 0, 0]) == .compressed)
    #expect(problem([2, 0, 0, 0, 0]) == .badFlag(2))
    #expect(problem([0, 0, 0, 0]) == .truncated)
    #expect(problem([0, 0, 0, 0, 2, 1]) == .truncated)
    #expect(problem([0, 0, 0, 0, 0]) == nil)
    #expect(
      MessageReader.Problem.tooLarge(101, limit: 100).status
        == GRPCStatus(
          .resourceExhausted, "The message has 101 bytes; at most 100 are read (message limit)."))
    #expect(MessageReader.Problem.compressed.status.code == .unimplemented)
  }
}
