import Configuration
import EventLoop
import Glibc
import Primitives
import ProxyCore
import ProxyServer
import TLS

/// TLS over the life of the process: keys of tickets rotate, certificates run out.
extension Control {
  /// How often certificates are looked at.
  private static let expiryInterval = TimeAmount.seconds(24 * 3600)
  /// Days before the end of a certificate from which on it is said, as at each load.
  private static let expiryDays = 14.0

  /// The keys that seal a listener's tickets, until when.
  struct Tickets {
    var keys: TicketKeys
    var due: Instant
  }

  /// What the loops need of TLS beside a snapshot.
  func securityPlan(for snapshot: CoreSnapshot, _ files: SecurityFiles) -> SecurityPlan {
    var plan = SecurityPlan()
    for listener in snapshot.listeners {
      let name = listener.settings.name
      guard let tls = listener.settings.tls, let material = files.listeners[name] else { continue }
      plan.listeners[listener.id] = SecurityPlan.Listener(
        material: material,
        boundaries: tls.hosts.map { builder.knownBoundary(tls.clientAuth(of: $0)) },
        ticketKeys: ticketKeys(of: name, tls.tickets, files))
    }
    for pool in snapshot.pools where pool.settings.tls != nil {
      plan.pools[pool.id] = files.pools[pool.settings.name]
    }
    return plan
  }

  private func ticketKeys(
    of listener: String, _ settings: TicketSettings, _ files: SecurityFiles
  ) -> TicketKeys {
    if let keys = files.ticketKeys[listener] {
      tickets[listener] = nil
      return keys
    }
    if let known = tickets[listener] {
      // A shorter rotation counts from now.
      tickets[listener]?.due = min(known.due, EventLoop.now() + settings.rotation)
      return known.keys
    }
    let keys = TicketKeys.random()
    tickets[listener] = Tickets(keys: keys, due: EventLoop.now() + settings.rotation)
    return keys
  }

  /// Gives listeners whose time has come new keys, and comes back for the next.
  func rotateTickets() {
    let now = EventLoop.now()
    var next = Instant.never
    var hasChanged = false
    for listener in settings.listeners {
      guard let tls = listener.tls, var state = tickets[listener.name] else { continue }
      if state.due <= now {
        state = Tickets(
          keys: state.keys.rotated(to: .random()), due: now + tls.tickets.rotation)
        tickets[listener.name] = state
        hasChanged = true
      }
      next = min(next, state.due)
    }
    if hasChanged { server.apply(securityPlan(for: snapshot, securityFiles)) }
    if let rotation { loop.cancel(rotation) }
    rotation = nil
    guard next != .never else { return }
    rotation = loop.schedule(after: max(next - now, .milliseconds(1))) { [self] in
      rotation = nil
      rotateTickets()
    }
  }

  /// Says which certificates are about to run out, once a day; at a load the loader has said so.
  func watchExpiry() {
    loop.schedule(after: Self.expiryInterval) { [self] in
      let now = Double(time(nil))
      for certificate in securityFiles.certificates {
        let days = (certificate.notAfterSeconds - now) / 86_400
        guard days < Self.expiryDays else { continue }
        log.warn(
          days < 0 ? "a certificate has expired; renew it" : "a certificate expires soon; renew it",
          [
            "listener": certificate.listener, "host": certificate.host,
            "certificate": certificate.certificate, "days": "\(Int(days))",
          ])
      }
      watchExpiry()
    }
  }
}
