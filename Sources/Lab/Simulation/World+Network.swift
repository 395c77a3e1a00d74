import Glibc
import Primitives

/// The network: what the kernels of both ends and the wire between them do.
extension World {
  // MARK: Making connections

  func makeLink(loop: Int, isUpstream: Bool) -> Link {
    let climate = scenario.climate
    func window() -> Int {
      network.chance(climate.smallWindow)
        ? network.between(1_024, 8_192) : network.between(32_768, 262_144)
    }
    let latency = network.between(climate.latency)
    let link = Link(
      id: links.count, loop: loop, isUpstream: isUpstream,
      latency: isUpstream ? .nanoseconds(latency.nanoseconds / 2) : latency,
      jitter: network.chance(climate.jittery) ? latency : .nanoseconds(latency.nanoseconds / 10),
      fragmentation: network.chance(climate.fragmenting) ? 0.7 : 0.02,
      windows: (window(), window()))
    links.append(link)
    return link
  }

  func forget(_ link: Link) {
    if link.proxyClosed, link.peerClosed { link.peer = nil }
  }

  private func delay(_ link: Link) -> TimeAmount {
    link.latency + .nanoseconds(Int64(network.unit() * Double(link.jitter.nanoseconds)))
  }

  private func arrival(_ link: Link, _ pipe: Pipe) -> Instant {
    pipe.lastArrival = max(now + delay(link), pipe.lastArrival)
    return pipe.lastArrival
  }

  /// Puts bytes that are in the queue already onto the wire.
  private func transmit(_ link: Link, toProxy: Bool, _ count: Int) {
    let pipe = toProxy ? link.toProxy : link.fromProxy
    pipe.sent += count
    var rest = count
    while rest > 0 {
      var piece = rest
      if rest > 1, network.chance(link.fragmentation) {
        piece = network.chance(0.3) ? 1 : 1 + network.below(rest - 1)
      }
      rest -= piece
      plan(
        .arrive(link: link.id, toProxy: toProxy, count: piece), at: arrival(link, pipe))
    }
  }

  // MARK: The front door's end

  /// - Returns: bytes taken, or -errno.
  func proxySend(_ link: Link, _ bytes: UnsafeRawBufferPointer) -> Int {
    if link.toProxy.resetArrived {
      defer { link.resetIsNews = false }
      return -Int(link.resetIsNews && !link.toProxy.finArrived ? ECONNRESET : EPIPE)
    }
    let count = min(bytes.count, link.fromProxy.room)
    if count < bytes.count { link.fromProxy.senderWaits = true }
    if count <= 0 { return -Int(EAGAIN) }
    link.fromProxy.queue.append(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
    transmit(link, toProxy: false, count)
    return count
  }

  /// - Returns: bytes read, 0 for the end, or -errno.
  func proxyReceive(_ link: Link, _ buffer: UnsafeMutableRawBufferPointer) -> Int {
    let pipe = link.toProxy
    if pipe.arrived > 0 {
      let count = min(pipe.arrived, buffer.count)
      memcpy(buffer.baseAddress!, pipe.queue.bytes.baseAddress!, count)
      taken(link, pipe, toProxy: true, count)
      return count
    }
    // As Linux: the reset is told once, and behind a FIN not at all.
    if pipe.resetArrived, !pipe.finArrived {
      defer { link.resetIsNews = false }
      return link.resetIsNews ? -Int(ECONNRESET) : 0
    }
    return pipe.finArrived || pipe.resetArrived ? 0 : -Int(EAGAIN)
  }

  func proxyFinish(_ link: Link) {
    guard !link.fromProxy.finSent else { return }
    link.fromProxy.finSent = true
    plan(.finish(link: link.id, toProxy: false), at: arrival(link, link.fromProxy))
  }

  /// As the kernel does it: closing over unread bytes sends RST.
  func proxyClose(_ link: Link, reset: Bool) {
    guard !link.proxyClosed else { return }
    link.proxyClosed = true
    link.closedByProxyAt = now
    if reset || link.toProxy.arrived > 0 {
      plan(.reset(link: link.id, toProxy: false), at: arrival(link, link.fromProxy))
    } else {
      proxyFinish(link)
    }
    forget(link)
  }

  // MARK: The peer's end

  func peerSend(_ link: Link, _ bytes: UnsafeRawBufferPointer) -> Int {
    if link.fromProxy.resetArrived || link.toProxy.finSent || link.peerClosed { return bytes.count }
    let count = min(bytes.count, link.toProxy.room)
    if count < bytes.count { link.toProxy.senderWaits = true }
    if count <= 0 { return 0 }
    link.toProxy.queue.append(UnsafeRawBufferPointer(rebasing: bytes[..<count]))
    transmit(link, toProxy: true, count)
    return count
  }

  /// Reads at most `limit` bytes of what has arrived.
  func peerRead(_ link: Link, limit: Int = .max, _ body: (UnsafeRawBufferPointer) -> Void) {
    let pipe = link.fromProxy
    let count = min(pipe.arrived, limit)
    guard count > 0 else { return }
    // Taken first, so that a peer that closes while it reads has read it; the memory stays.
    let bytes = UnsafeRawBufferPointer(rebasing: pipe.queue.bytes[..<count])
    taken(link, pipe, toProxy: false, count)
    body(bytes)
  }

  func peerFinish(_ link: Link) {
    guard !link.toProxy.finSent, !link.fromProxy.resetArrived else { return }
    link.toProxy.finSent = true
    plan(.finish(link: link.id, toProxy: true), at: arrival(link, link.toProxy))
  }

  func peerClose(_ link: Link, reset: Bool = false) {
    guard !link.peerClosed else { return }
    link.peerClosed = true
    if link.fromProxy.resetArrived {
    } else if reset || link.fromProxy.arrived > 0 {
      plan(.reset(link: link.id, toProxy: true), at: arrival(link, link.toProxy))
    } else {
      peerFinish(link)
    }
    forget(link)
  }

  // MARK: What happens on the way

  private func taken(_ link: Link, _ pipe: Pipe, toProxy: Bool, _ count: Int) {
    pipe.queue.consume(count)
    pipe.arrived -= count
    pipe.read += count
    if pipe.senderWaits {
      pipe.senderWaits = false
      plan(.room(link: link.id, toProxy: toProxy), at: now + delay(link))
    }
  }

  func arrive(_ link: Link, toProxy: Bool, _ count: Int) {
    let pipe = toProxy ? link.toProxy : link.fromProxy
    if pipe.resetArrived { return }
    if toProxy ? link.proxyClosed : link.peerClosed {
      // Nobody is there: RST goes back.
      pipe.queue.consume(count)
      let back = toProxy ? link.fromProxy : link.toProxy
      plan(.reset(link: link.id, toProxy: !toProxy), at: arrival(link, back))
      return
    }
    pipe.arrived += count
    if toProxy {
      loops[link.loop].notice(link)
    } else {
      link.peer?.arrived(link)
    }
  }

  func finish(_ link: Link, toProxy: Bool) {
    let pipe = toProxy ? link.toProxy : link.fromProxy
    if pipe.resetArrived { return }
    pipe.finArrived = true
    if toProxy {
      if !link.proxyClosed { loops[link.loop].notice(link) }
      mayHaveLeft(link)
    } else if !link.peerClosed {
      link.peer?.ended(link)
    }
  }

  func reset(_ link: Link, toProxy: Bool) {
    let pipe = toProxy ? link.toProxy : link.fromProxy
    if pipe.resetArrived { return }
    pipe.resetArrived = true
    // Linux lets what had arrived be read; others do not.
    if pipe.arrived > 0, !pipe.finArrived, network.chance(0.5) {
      link.hasLostBytes = true
      pipe.read += pipe.arrived
      pipe.queue.removeAll()
      pipe.arrived = 0
    }
    if toProxy {
      if !link.proxyClosed { loops[link.loop].notice(link) }
      mayHaveLeft(link)
    } else if !link.peerClosed {
      link.peer?.wasReset(link)
    }
  }

  func room(_ link: Link, toProxy: Bool) {
    if toProxy {
      if !link.peerClosed { link.peer?.hasRoom(link) }
    } else if link.proxyClosed {
      return
    } else {
      loops[link.loop].notice(link, canWrite: true)
    }
  }
}
