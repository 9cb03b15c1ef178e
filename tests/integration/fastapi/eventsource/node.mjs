// node node.mjs STREAM LISTENER
import { EventSource } from "eventsource";
import { listen } from "./listen.mjs";

listen(EventSource, process.argv[2], process.argv[3]);
