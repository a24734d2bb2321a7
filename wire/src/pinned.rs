//! A server that shows the very certificate that the `ca` file holds: `openssl req -x509` makes such, marked as an authority, which
//! webpki never takes from a server. Name and dates are checked all the same. Pure.

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;

/// webpki's judgement, and this one exception.
#[derive(Debug)]
pub(crate) struct Pinned {
    /// Who judges first.
    pub webpki: Arc<WebPkiServerVerifier>,
    /// What the `ca` file holds.
    pub certificates: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Pinned {
    /// Dates come before an authority's mark in webpki's judgement, the name after it: it is checked here.
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged = self
            .webpki
            .verify_server_cert(certificate, intermediates, name, ocsp, now);
        let Err(Error::InvalidCertificate(CertificateError::Other(_))) = judged else {
            return judged;
        };
        if self
            .certificates
            .iter()
            .all(|pinned| pinned.as_ref() != certificate.as_ref())
        {
            return judged;
        }
        verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}
