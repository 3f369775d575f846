/** What the services say to each other. */

export interface Line {
  item: string;
  quantity: number;
}

export interface Price {
  item: string;
  price: number;
  grams: number;
}

export interface Reservation {
  grams: number;
  replica: string;
}

export interface Order {
  id: number | string;
  lines: Line[];
  total: number;
  grams: number;
}

export interface Answered extends Order {
  replica: string;
}

export interface Progress {
  id: number | string;
  state: string;
  replica: string;
}
