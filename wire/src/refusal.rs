//! Errors of the HTTP client as people are told them: which rule, what happened where, what to do. Pure.

use crate::http::HttpError;
use swarm_manifests::{problem::Refusal, rules::remote as rules};

impl HttpError {
    /// The refusal that says it; `shown` is the url without secrets.
    pub fn refusal(&self, shown: &str) -> Refusal {
        let rule = match self {
            HttpError::Url(_) => &rules::URL,
            HttpError::Tls { .. } | HttpError::Ca { .. } => &rules::TLS,
            HttpError::TooLarge { .. } | HttpError::Request(_) => &rules::PROTOCOL,
            HttpError::Broken { source, .. } if source.is_parse() => &rules::PROTOCOL,
            HttpError::Connect { .. } | HttpError::Broken { .. } | HttpError::Late { .. } => {
                &rules::UNREACHABLE
            }
        };
        let mut text = format!("{shown}: {self}");
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.extend([": ", &error.to_string()]);
            cause = error.source();
        }
        let refusal = Refusal::new(rule, text);
        match self {
            HttpError::Tls {
                source: rustls::Error::InvalidCertificate(why),
                ..
            } => certificate_hint(refusal, why),
            _ => refusal,
        }
    }
}

fn certificate_hint(refusal: Refusal, why: &rustls::CertificateError) -> Refusal {
    use rustls::CertificateError as Why;
    match why {
        Why::UnknownIssuer => {
            refusal.hint("if the authority is your own, name its certificate as `ca`")
        }
        Why::Expired
        | Why::ExpiredContext { .. }
        | Why::NotValidYet
        | Why::NotValidYetContext { .. } => {
            refusal.hint("renew the certificate, or set this machine's clock")
        }
        Why::NotValidForName | Why::NotValidForNameContext { .. } => {
            refusal.hint("use the name that the certificate is for")
        }
        _ => refusal,
    }
}
