import CLinux
import EventLoop
import Glibc
import Primitives

/// Closed connections whose last bytes are still on their way. The core has forgotten them.
extension LoopServer {
  func sayFarewell(_ descriptor: Int32, _ output: WaitingBytes) {
    let place = farewells.firstIndex { $0 == nil } ?? farewells.count
    if place == farewells.count { farewells.append(nil) }
    farewells[place] = Farewell(descriptor: descriptor, output: output)
    let token = Handle(index: UInt32(place), generation: Self.farewellGeneration).bits
    loop.modify(descriptor, EPOLLOUT.rawValue | EPOLLET.rawValue, token: token)
    loop.schedule(after: Self.flushTime) { [weak self] in
      guard let self, self.farewells[place]?.descriptor == descriptor else { return }
      self.endFarewell(place)
    }
  }

  func flushFarewell(_ place: Int) {
    guard place < farewells.count, var farewell = farewells[place] else { return }
    while !farewell.output.isEmpty {
      let bytes = farewell.output.bytes
      let sent = portico_send(farewell.descriptor, bytes.baseAddress, bytes.count)
      if sent == -Int(EAGAIN) {
        farewells[place] = farewell
        return
      }
      if sent < 0 { break }
      farewell.output.consume(sent)
    }
    farewells[place] = farewell
    endFarewell(place)
  }

  func endFarewell(_ place: Int) {
    guard var farewell = farewells[place] else { return }
    farewell.output.free()
    _ = portico_close(farewell.descriptor)
    farewells[place] = nil
  }
}
