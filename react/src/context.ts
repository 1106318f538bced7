/** The client that components find above them. */
import type { Client } from '@fanfare/client';
import { createContext } from 'react';

export const ClientContext = createContext<Client | null>(null);
