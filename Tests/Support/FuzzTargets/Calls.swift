import GRPC
import Primitives

/// The bytes of a gRPC call: the same messages and the same end however they are cut, and framed
/// again they are the same bytes.
func checkGRPC(_ bytes: UnsafeRawBufferPointer) throws {
  let whole = try read(bytes, cutBy: nil)
  let cut = try read(bytes, cutBy: SeededRandom(seed: bytes.seed))
  try require(same: cut, whole, "messages in pieces and at once")
  let again = whole.messages.flatMap(MessageReader.frame)
  try require(bytes.starts(with: again), "framed again as \(spelled(again))")
  try require(again.count == bytes.count || whole.problem != nil, "bytes are left over")
}

private struct Messages: Equatable {
  var messages: [[UInt8]] = []
  var problem: MessageReader.Problem?
}

private func read(
  _ bytes: UnsafeRawBufferPointer, cutBy random: SeededRandom?
) throws -> Messages {
  var random = random
  var reader = MessageReader(limitBytes: 1_000)
  var result = Messages()
  var position = 0
  do throws(MessageReader.Problem) {
    while position < bytes.count {
      var count = bytes.count - position
      if random != nil { count = min(count, 1 + random!.below(9)) }
      reader.receive(UnsafeRawBufferPointer(rebasing: bytes[position..<(position + count)]))
      position += count
      while let message = try reader.next() { result.messages.append(message) }
    }
    try reader.end()
  } catch {
    result.problem = error
  }
  return result
}

/// A protobuf message of each kind that strangers send us: what is read of it and written again is
/// read as the same; what `grpc-timeout` and `grpc-message` say survives writing too.
func checkProtobuf(_ bytes: UnsafeRawBufferPointer) throws {
  try survives(bytes, { (bytes) throws(ProtobufComplaint) in try InferRequest(bytes).bytes })
  try survives(bytes, { (bytes) throws(ProtobufComplaint) in try InferResponse(bytes).bytes })
  try survives(bytes) { (bytes) throws(ProtobufComplaint) in
    HealthService.request(service: try HealthService.service(ofRequest: bytes))
  }
  try survives(bytes) { (bytes) throws(ProtobufComplaint) in
    HealthService.response(try HealthService.serving(ofResponse: bytes))
  }
  let text = String(decoding: bytes, as: UTF8.self)
  if let timeout = GRPCFields.timeout(text) {
    let written = GRPCFields.timeoutText(timeout)
    guard let again = GRPCFields.timeout(written) else {
      throw BrokenRule("\(text) written as \(written), which is no timeout")
    }
    try require(again >= timeout, "\(text) written as \(written), which is shorter")
  }
  let message = GRPCFields.decode(message: text)
  let encoded = GRPCFields.encode(message: message)
  try require(
    encoded.utf8.allSatisfy { (0x20...0x7e).contains($0) }, "a message with other bytes: \(encoded)"
  )
  try require(encoded.utf8.count <= GRPCFields.messageBytes, "a message of \(encoded.utf8.count)")
  try require(
    message.unicodeScalars.starts(with: GRPCFields.decode(message: encoded).unicodeScalars),
    "another message: \(encoded)")
}

private func survives(
  _ bytes: UnsafeRawBufferPointer,
  _ rewritten: (UnsafeRawBufferPointer) throws(ProtobufComplaint) -> [UInt8]
) throws {
  let first: [UInt8]
  do throws(ProtobufComplaint) {
    first = try rewritten(bytes)
  } catch {
    try require((0...bytes.count).contains(error.offset), "complains of byte \(error.offset)")
    return
  }
  let second: [UInt8]
  do throws(ProtobufComplaint) {
    second = try first.lend { (bytes) throws(ProtobufComplaint) in try rewritten(bytes) }
  } catch {
    throw BrokenRule("written as \(spelled(first)), which is refused: \(error)")
  }
  // Maps have no order.
  try require(second.sorted() == first.sorted(), "\(spelled(first)) and \(spelled(second))")
}
