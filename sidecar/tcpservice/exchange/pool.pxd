# C types of pool.py, for its compiled form.

cimport cython

from tcpservice.exchange.picking cimport slot_for
from tcpservice.exchange.records cimport DownstreamConnection, Message, UpstreamConnection, UpstreamEndpoint
from tcpservice.exchange.state cimport State

cpdef UpstreamConnection open_connection(State state, UpstreamEndpoint endpoint, long long slot, long long now)
@cython.locals(slot="long long", pool=list, connection=UpstreamConnection)
cpdef UpstreamConnection connection_for(State state, UpstreamEndpoint endpoint, Message message, long long now)
cpdef bytes fresh_id(UpstreamConnection connection)
