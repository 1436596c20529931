# shellcheck shell=bash
# Certificates and kubeconfigs of one cluster, valid for a month; sourced by the parts.
key_options=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
authority() {
  openssl req -x509 "${key_options[@]}" -keyout pki/ca.key -out pki/ca.crt -days 30 -subj /CN=ca
  openssl genrsa -out pki/sa.key 2048
  openssl rsa -in pki/sa.key -pubout -out pki/sa.pub
} 2>/dev/null
certificate() { # name subject [alternative names]
  openssl req "${key_options[@]}" -keyout "pki/$1.key" -out "pki/$1.csr" -subj "$2"
  openssl x509 -req -in "pki/$1.csr" -CA pki/ca.crt -CAkey pki/ca.key -CAcreateserial -days 30 -out "pki/$1.crt" -extfile <(echo "subjectAltName=${3:-DNS:$1}")
} 2>/dev/null
identity() { # name subject [alternative names]: a certificate, and NAME.kubeconfig that uses it
  certificate "$@"
  local config=(kubectl config --kubeconfig="$1.kubeconfig")
  "${config[@]}" set-cluster c --server=https://127.0.0.1:6443 --certificate-authority=pki/ca.crt --embed-certs
  "${config[@]}" set-credentials u --client-certificate="pki/$1.crt" --client-key="pki/$1.key" --embed-certs
  "${config[@]}" set-context c --cluster=c --user=u
  "${config[@]}" use-context c
} >/dev/null
