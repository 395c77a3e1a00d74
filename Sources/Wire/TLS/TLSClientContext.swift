import COpenSSL

/// What all sessions of one loop with one pool's backends share. Not Sendable on purpose.
package final class TLSClientContext {
  package let material: TLSClientMaterial

  package init(_ material: TLSClientMaterial) throws(TLSComplaint) { self.material = material }
}
