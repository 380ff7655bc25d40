;; Wants to connect to any address, past the host's egress policy.
(component
  (import "wasi:sockets/network@0.2.12" (instance $network
    (export "network" (type (sub resource)))
  ))
  (alias export $network "network" (type $handle))
  (import "wasi:sockets/instance-network@0.2.12" (instance
    (alias outer 1 $handle (type $own))
    (export "network" (type $mine (eq $own)))
    (export "instance-network" (func (result (own $mine))))
  ))
)
