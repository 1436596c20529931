//! TLS with an authority of our own, and a server that asks who we are.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use canary_analyzer::source::{PrometheusOptions, PrometheusSource, Tls};
use jiff::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use secrecy::SecretString;

use crate::support::install_tls;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key for a name.
fn issued(authority: &Authority, name: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    (params.signed_by(&key, authority).unwrap(), key)
}

/// A server of one answer that takes only those whom the authority knows.
fn serve(authority: &Authority) -> SocketAddr {
    let (certificate, key) = issued(authority, "localhost");
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
        .build()
        .unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
    let config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = StreamOwned::new(connection, stream);
            // A client that is refused, or refuses us, ends here.
            if tls.read(&mut [0; 4096]).is_err() {
                continue;
            }
            let body = r#"{"status":"success","data":{"resultType":"scalar","result":[1,"1"]}}"#;
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _gone = tls.write_all(format!("{head}{body}").as_bytes());
        }
    });
    address
}

#[tokio::test]
async fn both_sides_prove_who_they_are() {
    install_tls();
    let authority = authority();
    let address = serve(&authority);
    let (certificate, key) = issued(&authority, "canary");
    let ask = |tls: Tls| async move {
        let url = format!("https://localhost:{}", address.port());
        let source = PrometheusSource::new(PrometheusOptions {
            tls,
            ..PrometheusOptions::new(url)
        })
        .unwrap();
        source.instant("1", Timestamp::UNIX_EPOCH).await
    };
    let full = Tls {
        ca_pem: Some(authority.pem().into_bytes()),
        cert_pem: Some(certificate.pem().into_bytes()),
        key_pem: Some(SecretString::from(key.serialize_pem())),
        insecure_skip_verify: false,
    };
    assert!(ask(full.clone()).await.is_ok());

    let stranger = ask(Tls {
        ca_pem: None,
        ..full.clone()
    })
    .await
    .unwrap_err()
    .to_string();
    assert!(
        stranger.contains("invalid peer certificate: UnknownIssuer"),
        "{stranger}"
    );
    assert!(
        ask(Tls {
            ca_pem: None,
            insecure_skip_verify: true,
            ..full.clone()
        })
        .await
        .is_ok()
    );
    let nobody = ask(Tls {
        cert_pem: None,
        key_pem: None,
        ..full
    })
    .await
    .unwrap_err()
    .to_string();
    assert!(
        nobody.contains("CertificateRequired") || nobody.contains("reset"),
        "{nobody}"
    );
}
